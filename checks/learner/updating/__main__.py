"""`python -m checks.learner.updating`: what course.py's update, reset and restart do."""

import argparse
import sys

from checks.learner.updating import backups, fresh
from checks.learner.updating.lessons import Refused
from checks.learner.updating.update import update
from checks.learner_files.console import print_anything
from checks.learner_files.notebook import UnreadableNotebook


def _update(options: argparse.Namespace) -> int:
    if not options.undo:
        return update()
    print("\n".join(backups.undo()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="course.py", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="update | reset | restart")
    newer = commands.add_parser("update", help="merge newer lessons into your notebooks")
    newer.add_argument("--undo", action="store_true", help="take the last command here back")
    newer.set_defaults(run=_update)
    reset = commands.add_parser("reset", help="a fresh cell for one exercise")
    reset.add_argument("exercise", help="such as D1.3")
    reset.set_defaults(run=lambda options: fresh.reset(options.exercise))
    restart = commands.add_parser("restart", help="begin a lesson anew")
    restart.add_argument("lesson", help="such as d1")
    restart.set_defaults(run=lambda options: fresh.restart(options.lesson))
    return parser


def main(words: list[str] | None = None) -> int:
    """Runs one command and returns the exit code; what stops it is one sentence."""
    options = _parser().parse_args(words)
    try:
        return options.run(options)
    except Refused as refused:
        print(refused, file=sys.stderr)
    except UnreadableNotebook as error:
        print(f"{error}.", file=sys.stderr)
    except OSError as error:
        where = error.filename or "A file"
        print(f"{where} could not be used ({error.strerror or error}).", file=sys.stderr)
    return 1


if __name__ == "__main__":
    print_anything(sys.stdout, sys.stderr)
    sys.exit(main())
