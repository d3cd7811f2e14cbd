"""`python -m checks`: the board, a learner's notebooks checked or exported, a chat, the audit."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checks
from checks.learner_files.console import print_anything


def _status(options: argparse.Namespace) -> int:
    print(checks.progress())
    return 0


def _validate(options: argparse.Namespace) -> int:
    from checks.learner import validate

    return validate.validate(options.lesson or checks.STEMS, everything=options.all)


def _export(options: argparse.Namespace) -> int:
    from checks.learner import export

    path = export.export()
    print(
        f"{path} trains on a text file and writes: it needs only torch, tokenizers and safetensors."
    )
    return 0


def _chat(options: argparse.Namespace) -> int:
    from checks.learner import chat

    return chat.chat(options)


def _audit(options: argparse.Namespace) -> int:
    from checks.audit import audit

    lessons = options.lesson or checks.STEMS
    verdicts = {lesson: audit.audit(lesson, options.processes, options.seeds) for lesson in lessons}
    if options.json:
        print(json.dumps({_short(name): audit.summary(v) for name, v in verdicts.items()}))
    else:
        print("\n\n".join(f"{name}\n{audit.table(v)}" for name, v in verdicts.items()))
    return 0 if all(audit.clean(v) for v in verdicts.values()) else 1


def _short(lesson: str) -> str:
    return lesson.split("_")[0]


def _lesson(word: str) -> str:
    for stem in checks.STEMS:
        if word in (stem, _short(stem)):
            return stem
    known = ", ".join(_short(stem) for stem in checks.STEMS)
    raise argparse.ArgumentTypeError(f"lesson must be one of {known}, got {word}")


def _count(word: str) -> int:
    if not word.isdecimal() or not 3 <= int(word) <= 1000:
        raise argparse.ArgumentTypeError(f"seeds must be a number from 3 to 1000, got {word}")
    return int(word)


def _at_least(least: float, kind: type = int) -> Callable[[str], float]:
    """What reads a number of this kind, and refuses a smaller one."""

    def number(word: str) -> float:
        try:
            value = kind(word)
        except ValueError:
            value = math.nan
        if not least <= value < math.inf:
            raise argparse.ArgumentTypeError(f"it must be a number from {least} on, got {word}")
        return value

    return number


def _ids(text: str) -> list[int]:
    words = text.replace(",", " ").split()
    if not words or not all(word.isdecimal() for word in words):
        raise argparse.ArgumentTypeError(f"ids must be whole numbers like 5,17,2, got {text!r}")
    return [int(word) for word in words]


def _add_chat(commands: Any) -> None:
    chat = commands.add_parser("chat", help="talk to a checkpoint's folder through your own parts")
    chat.add_argument("folder", type=Path, help="config.json, safetensors, tokenizer.json")
    chat.add_argument("--prompt", help="answer this and end, in place of a conversation")
    chat.add_argument("--ids", type=_ids, help="continue these token ids; needs no tokenizer")
    chat.add_argument("--max-new-tokens", type=_at_least(1), default=200, metavar="N")
    chat.add_argument("--temperature", type=_at_least(0, float), default=0.7, metavar="T")
    chat.add_argument(
        "--dtype", choices=("stored", "float32", "bfloat16", "float16"), default="stored"
    )
    chat.add_argument("--device", default="cpu", help="cpu, cuda or mps")
    chat.set_defaults(run=_chat)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m checks", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar="status | validate | export | chat | audit"
    )
    status = commands.add_parser("status", help="the board of the fourteen subtasks")
    status.set_defaults(run=_status)
    validate = commands.add_parser("validate", help="run the checks of the notebooks in work/")
    validate.add_argument("lesson", nargs="*", type=_lesson)
    validate.add_argument("--all", action="store_true", help="run every cell, not only checks")
    validate.set_defaults(run=_validate)
    export = commands.add_parser("export", help="write your parts as one file, my_deepseek.py")
    export.set_defaults(run=_export)
    _add_chat(commands)
    audit = commands.add_parser("audit", help="hold every check against right and wrong answers")
    audit.add_argument("lesson", nargs="*", type=_lesson)
    audit.add_argument("--json", action="store_true", help="print the counts as JSON")
    audit.add_argument("--processes", type=int, default=2, choices=(1, 2), help="at once")
    audit.add_argument("--seeds", type=_count, default=3, help="of each answer; 3 if not given")
    audit.set_defaults(run=_audit)
    return parser


def _run(options: argparse.Namespace) -> int:
    """The command's exit code; 1 where nobody reads what it prints to the end, as `head` may."""
    try:
        code = options.run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    print_anything(sys.stdout, sys.stderr)
    sys.exit(_run(_parser().parse_args()))
