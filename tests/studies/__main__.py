"""`python -m tests.studies [name ...]`: runs the stale studies, or those named, and stores them."""

import sys
from importlib import import_module

import helpers  # noqa: F401  # isort: skip  # before torch: its threads sleep while they wait
import torch

from lessons import stored_studies


def main(arguments: list[str]) -> int:
    """Returns 0 once all are stored, and 2 where a name is not one of a study."""
    known = stored_studies.names()
    unknown = [name for name in arguments if name not in known]
    if unknown:
        print(f"{unknown[0]} is none of the studies: {', '.join(known)}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    for name in arguments or filter(stored_studies.is_stale, known):
        run(name)
        print(f"lessons/studies/{name}.json is written")
    return 0


def run(name: str) -> None:
    """Runs the study with each of its seeds and stores the rows."""
    study = import_module(f"tests.studies.{name}")
    sources = stored_studies.made_from(name)  # before the long run: they may be edited meanwhile
    found = [{"seed": seed} | study.measure(seed) for seed in study.SEEDS]
    stored_studies.store(name, sources, found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
