"""`python -m benchmarks`: our model beside transformers' in one table, or as JSON with `--json`.

With a name it runs one of the others: how D3's and D4's choices compare among themselves.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from itertools import chain

import helpers  # noqa: F401  before torch: its threads then sleep while they wait
from benchmarks import (
    accelerator,
    break_even,
    coherent,
    decode,
    dispatch,
    live,
    peak_memory,
    waiting,
)
from benchmarks.side_by_side import rows, table

BENCHMARKS: dict[str, Callable[..., None]] = {
    "accelerator": accelerator.main,
    "break_even": break_even.main,
    "coherent": coherent.main,
    "decode": decode.main,
    "dispatch": dispatch.main,
    "live": live.main,
    "waiting": waiting.main,
}


def main(arguments: list[str]) -> None:
    found = chain(rows(), peak_memory.rows())
    if not arguments:
        for line in table(found):
            print(line, flush=True)
    elif arguments == ["--json"]:
        print(json.dumps([asdict(row) for row in found], indent=1))
    elif arguments[0] in BENCHMARKS:
        BENCHMARKS[arguments[0]](*arguments[1:])
    else:
        names = ", ".join(BENCHMARKS)
        sys.exit(f"give nothing, --json, or one of {names}; got {' '.join(arguments)}")


if __name__ == "__main__":
    main(sys.argv[1:])
