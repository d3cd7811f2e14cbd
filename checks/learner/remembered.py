"""Verdicts on saved parts, remembered in `work/verdicts.json` by all that they depend on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress

from checks.learner_files import paths
from helpers.atomic_file import write_atomically


def digest(told: Sequence[str], source: str, origin: Mapping[str, str]) -> str:
    """A digest of what a verdict depends on: the cells, whose the other parts are, the course."""
    everything = [*told, source, json.dumps(origin), _course()]
    return hashlib.sha256("\0".join(everything).encode("utf-8", "replace")).hexdigest()


def _course() -> str:
    """A digest of the code of the course, without the bank of answers."""
    folders = (paths.ROOT / name for name in ("checks", "solutions", "helpers"))
    files = sorted(file for folder in folders for file in folder.rglob("*.py"))
    code = (file.read_bytes() for file in files if not file.is_relative_to(paths.BANK))
    return hashlib.sha256(b"\0".join(code)).hexdigest()


def verdict(digest: str) -> str | None:
    """Why the part did not pass, "" if it passed, None if it was not judged yet."""
    return _verdicts().get(digest)


def remember(digest: str, problem: str) -> None:
    """Keep a verdict; on a full disk it is not kept, and the part is judged again."""
    with suppress(OSError):
        kept = json.dumps({**_verdicts(), digest: problem})
        write_atomically(paths.WORK / "verdicts.json", kept)


def _verdicts() -> dict[str, str]:
    try:
        kept = json.loads((paths.WORK / "verdicts.json").read_text(encoding="utf-8"))
        return {str(digest): str(problem) for digest, problem in kept.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}  # only a memory: what is lost is judged again
