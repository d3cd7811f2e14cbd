"""Runs the benchmark of the given name and prints its Markdown table."""

import sys

import helpers  # noqa: F401  before torch: its threads then sleep while they wait
from benchmarks import decode, dispatch

BENCHMARKS = {"decode": decode.main, "dispatch": dispatch.main}


def main(names: list[str]) -> None:
    if len(names) != 1 or names[0] not in BENCHMARKS:
        given = " ".join(names) or "nothing"
        sys.exit(f"a benchmark must be one of {', '.join(BENCHMARKS)}, got {given}")
    BENCHMARKS[names[0]]()


if __name__ == "__main__":
    main(sys.argv[1:])
