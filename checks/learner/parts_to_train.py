"""The parts that `solutions.train` trains: the learner's where they pass, or the reference's."""

import textwrap
from typing import Any

from torch import distributed as dist

import checks
from checks.learner.carry import Carried, saved_parts
from checks.learner_files import paths
from solutions.train.parts import USED, reference_parts


def learners() -> tuple[dict[str, Any], str]:
    """The parts by name, in every process of a training, and sentences that say whose they are.

    The first process judges what was not judged yet, so that the others only read its verdicts.
    """
    paths.WORK.mkdir(exist_ok=True)
    if dist.get_rank() > 0:
        dist.barrier()
    carried = saved_parts(checks.STEMS, {})
    if dist.get_rank() == 0:
        dist.barrier()
    return reference_parts() | carried.parts, told(carried)


def told(carried: Carried) -> str:
    """Which of the parts that a training runs are the learner's, and why the others are not."""
    own = [name for name in USED if carried.origin[name] == "yours"]
    others = [f"{name}: {carried.origin[name]}" for name in USED if name not in own]
    if not others:
        return "\n".join([*carried.notes, "every part is yours"])
    yours = textwrap.fill(f"yours: {', '.join(own) or 'none'}", 100)
    return "\n".join([*carried.notes, yours, *others])
