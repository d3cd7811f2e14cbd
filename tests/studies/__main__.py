"""`python -m tests.studies [name ...]`: runs the stale studies, or those named, and stores them."""

import sys

import helpers  # noqa: F401  # isort: skip  # before torch: its threads sleep while they wait
import torch

from tests.studies import stored


def main(arguments: list[str]) -> int:
    """Returns 0 once all are stored, and 2 where a name is not one of a study."""
    unknown = [name for name in arguments if name not in stored.names()]
    if unknown:
        print(f"{unknown[0]} is none of the studies: {', '.join(stored.names())}", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    for name in arguments or filter(stored.is_stale, stored.names()):
        stored.run(name)
        print(f"tests/studies/{name}.json is written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
