"""The steps of `course.py test`, two at a time; the summary says which failed and the minutes.

`--full` judges everything and runs seed studies, trainings on several processes, a lesson without
network, the pages and the browser as well; without it, audit, checks, oracle and notebooks are
judged only of lessons whose sources changed since they last were.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script by course.py

from lessons.freshness import stems  # noqa: E402
from tests import judged  # noqa: E402
from tests.chromium import has_chromium  # noqa: E402
from tests.namespaces import has_namespaces  # noqa: E402

AT_ONCE = 2
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "MKL_NUM_THREADS": "1"}
# pyproject's hook and warnings are for unit tests: a notebook runs in a kernel of its own.
NBVAL = ["-o", "addopts=", "-o", "filterwarnings=", "--nbval", "--nbval-current-env"]
NBVAL += ["--nbval-cell-timeout=300"]


@dataclass(frozen=True)
class Step:
    """A module to run with its arguments; `ready` says in a sentence what is missing, or ""."""

    name: str
    command: tuple[str, ...]
    ready: Callable[[], str] = lambda: ""


@dataclass(frozen=True)
class Outcome:
    """How a step ended: whether it passed, in how many seconds, and what it printed."""

    name: str
    passed: bool
    seconds: float
    output: str


def main(arguments: list[str]) -> int:
    """Runs the steps, long ones first, and returns 0 if all passed and `judged.json` is right."""
    full = "--full" in arguments
    steps = [*judged_steps(full), *unit_steps(), *quick_steps(), *(full_steps() if full else [])]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(run_step, sorted(steps, key=rank)))
    outcomes += [run_step(step) for step in (lone_steps() if full else [])]
    passed = summary(outcomes)
    if passed and full:
        passed = judged_is_right()
    return 0 if passed else 1


def quick_steps() -> list[Step]:
    return [
        Step("ruff check", ("ruff", "check", ".")),
        Step("ruff format", ("ruff", "format", "--check", ".")),
        Step("types", ("mypy",)),
        Step("build", ("lessons.build", "--check")),
    ]


def unit_steps() -> list[Step]:
    """One step per folder of unit tests."""
    folders = sorted({path.parent for path in (ROOT / "tests" / "unit").rglob("test_*.py")})
    named = [folder.relative_to(ROOT / "tests").as_posix() for folder in folders]
    return [Step(name, ("pytest", "-q", f"tests/{name}")) for name in named]


def judged_steps(full: bool) -> Iterator[Step]:
    """Those that judge a lesson, of what is stale, or of every lesson."""
    stale = judged.digests(ROOT) if full else judged.stale(ROOT)
    for stem in stems(ROOT):
        for kind, command in judging(stem).items():
            if f"{kind} {stem}" in stale:
                yield Step(f"{kind} {stem}", command)


def judging(stem: str) -> dict[str, tuple[str, ...]]:
    """The commands that judge a lesson, by kind."""
    return {
        "audit": ("checks", "audit", stem, "--processes", "1"),
        "checks": ("pytest", "-q", "tests/lessons", "-k", stem[:2].upper()),
        "oracle": ("pytest", "-q", "tests/oracle", "-k", stem[:2].upper()),
        "nbval": ("pytest", "-q", *NBVAL, f"solutions/{stem}.ipynb"),
        "old notebook": ("pytest", "-q", "tests/old_notebooks", "-k", stem),
    }


def full_steps() -> list[Step]:
    studies = sorted((ROOT / "tests" / "studies").rglob("test_*.py"))
    named = [
        (path.stem.removeprefix("test_"), path.relative_to(ROOT).as_posix()) for path in studies
    ]
    return [
        *(Step(f"study {name}", ("pytest", "-q", path)) for name, path in named),
        Step("processes", ("pytest", "-q", "tests/processes")),
        Step("offline", ("pytest", "-q", "tests/offline"), has_namespaces),
        Step("book", ("pytest", "-q", "tests/book")),
        Step("browser", ("pytest", "-q", "tests/browser"), has_chromium),
    ]


def lone_steps() -> list[Step]:
    """What would disturb the others: it keeps every core busy."""
    return [Step("busy machine", ("pytest", "-q", "tests/busy"))]


LONGEST = [
    "nbval d4",
    "audit d4",
    "browser",
    "processes",
    "offline",
    "audit d3",
    "nbval",
    "checks",
    "study",
    "audit",
]


def rank(step: Step) -> int:
    """Long steps come first, so that none is left over alone at the end."""
    ranks = [i for i, start in enumerate(LONGEST) if step.name.startswith(start)]
    return min(ranks, default=len(LONGEST))


def run_step(step: Step) -> Outcome:
    """Runs a step to its end and prints how it went; what it printed is shown where it failed."""
    start = time.monotonic()
    missing = step.ready()
    passed, output = (False, missing) if missing else call(step.command)
    outcome = Outcome(step.name, passed, time.monotonic() - start, output)
    say(line(outcome))
    if not passed or step.name.startswith("audit"):
        say(output)
    return outcome


def call(command: tuple[str, ...]) -> tuple[bool, str]:
    """Whether the module ended with exit code 0, and everything it printed."""
    environment = {**os.environ, **ONE_THREAD}
    with tempfile.TemporaryFile() as kept:
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            stdout=kept,
            stderr=subprocess.STDOUT,
        )
        kept.seek(0)
        return ended.returncode == 0, kept.read().decode("utf-8", errors="replace")


def judged_is_right() -> bool:
    """Whether `judged.json` is what was judged just now; where it is not, it is written anew."""
    if not judged.update(ROOT):
        return True
    say("tests/judged.json was not that of these sources; it is written anew: commit it.")
    return False


def line(outcome: Outcome) -> str:
    word = "passed" if outcome.passed else "FAILED"
    counts = [text for text in outcome.output.splitlines() if text.strip()][-1:]
    said = counts[0].strip("= ")[:60] if counts and outcome.passed else ""
    return f"{outcome.name:<32} {word:<6} {outcome.seconds / 60:5.1f} min  {said}"


def summary(outcomes: list[Outcome]) -> bool:
    """Whether every step passed; prints a line per step, last the names of those that failed."""
    say("\n== summary ==")
    for outcome in outcomes:
        say(line(outcome))
    failed = [outcome.name for outcome in outcomes if not outcome.passed]
    say(f"failed: {', '.join(failed) or 'none'}")
    return not failed


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(1)
