"""The command line of a training; what cannot be is one sentence before anything starts."""

import argparse
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.small_sizes import SIZES

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def read(words: list[str] | None) -> argparse.Namespace:
    """The arguments; ends with a sentence and exit code 2 for those that make no sense."""
    parser = _parser()
    chosen = parser.parse_args(words)
    missing = [path for path in chosen.text if not path.is_file()]
    if missing:
        parser.error(f"there is no file {missing[0]}")
    if chosen.folder.exists() and not chosen.folder.is_dir():
        parser.error(f"--folder needs a folder, and {chosen.folder} is a file")
    try:
        chosen.sizes = _sizes(chosen.sizes)
    except (OSError, ValueError) as error:
        parser.error(f"--sizes: {error}")
    return chosen


def _sizes(path: Path | None) -> dict[str, Any]:
    """The sizes of a DeepSeekConfig from a JSON file, all but `vocab_size`."""
    sizes = SIZES if path is None else json.loads(path.read_text(encoding="utf-8"))
    known = {field.name for field in fields(DeepSeekConfig)} - {"vocab_size", "yarn", "angles"}
    if not isinstance(sizes, dict) or not set(sizes) <= known:
        raise ValueError(f"a JSON object with names among {', '.join(sorted(known))} is needed")
    try:
        DeepSeekConfig(vocab_size=1024, **sizes)
    except TypeError as error:
        raise ValueError(str(error).partition(" ")[2]) from None
    return sizes


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m solutions.train", description=__doc__)
    add = parser.add_argument
    add("folder", type=Path, help="for checkpoints and the trained model; goes on from the newest")
    add("--text", type=Path, nargs="+", default=[], help="text files; the story world without")
    add("--sizes", type=Path, metavar="FILE", help="a JSON file of DeepSeekConfig's sizes")
    add("--parts", choices=["mine", "reference"], default="mine")
    add("--steps", type=_at_least(1, int), default=300)
    add("--batch", type=_at_least(1, int), default=16, help="rows of all processes together")
    add("--length", type=_at_least(2, int), default=128, help="tokens per row of a text")
    add("--vocabulary", type=_at_least(257, int), default=1024)
    add("--lr", type=_at_least(0, float), default=3e-3)
    add("--bias", type=_at_least(0, float), default=0.01, help="step of the balancing bias")
    add("--seed", type=_at_least(0, int), default=0)
    add("--expert-parallel", type=_at_least(1, int), default=1, metavar="N")
    add("--save-every", type=_at_least(1, int), default=100, metavar="STEPS")
    add("--show-every", type=_at_least(1, int), default=20, metavar="STEPS")
    add("--device", choices=["cpu", "cuda"], default="cpu")
    add("--dtype", choices=DTYPES, default="float32")
    return parser


def _at_least(least: float, kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def number(word: str) -> Any:
        value = kind(word)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"it must be at least {least}, got {word}")
        return value

    return number
