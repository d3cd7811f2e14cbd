"""The steps of `course.py test`: each is run to its end, and the summary says which failed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AT_ONCE = ["-n", "2"]  # processes, each of one thread


def main(arguments: list[str]) -> int:
    """Runs every step, quick ones first, and gives 0 if all passed."""
    steps = own_steps() + nbval_steps() + (FULL_STEPS if "--full" in arguments else [])
    return summary([run_step(*step) for step in steps])


def own_steps() -> list[tuple]:
    others = ["--ignore=tests/studies", "--ignore=tests/browser"]
    return [
        ("ruff check", passes, "ruff", "check", "."),
        ("ruff format", passes, "ruff", "format", "--check", "."),
        ("unit tests", passes, "pytest", *AT_ONCE, "tests", *others),
        ("audit", passes, "checks", "audit"),
        ("build", passes, "lessons.build", "--check"),
    ]


def nbval_steps() -> list[tuple]:
    """One step for each solved notebook; without any, one that fails."""
    notebooks = sorted((ROOT / "solutions").glob("*.ipynb"))
    missing = ("nbval", fails, "solutions/ has no notebook: python3 course.py build makes them.")
    return [("nbval " + path.stem, nbval, path) for path in notebooks] or [missing]


def nbval(notebook: Path) -> bool:
    options = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=300"]
    # pyproject's hook and warnings are for unit tests: a notebook runs in a kernel of its own.
    return passes("pytest", "-o", "addopts=", "-o", "filterwarnings=", *options, str(notebook))


def seed_studies() -> bool:
    return passes("pytest", *AT_ONCE, "-rP", "tests/studies")  # and shows the numbers printed


def browser() -> bool:
    return has_chromium() and passes("pytest", "tests/browser")


def has_chromium() -> bool:
    """Whether Debian's Chromium is there; as root it is installed first."""
    if shutil.which("chromium"):
        return True
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not (root and shutil.which("apt-get")):
        return fails("The browser tests need Chromium: sudo apt-get install chromium adds it.")
    call(["apt-get", "-qq", "update"])
    if call(["apt-get", "-qq", "install", "-y", "chromium"]) != 0:
        return fails("apt-get could not install chromium, for the reason it gives above.")
    return True


FULL_STEPS = [("seed studies", seed_studies), ("browser", browser)]


def passes(module: str, *arguments: str) -> bool:
    return call([sys.executable, "-m", module, *arguments]) == 0


def fails(sentence: str) -> bool:
    say(sentence)
    return False


def call(command: list[str]) -> int:
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    return subprocess.run(command, cwd=ROOT, env=environment).returncode


def say(line: str) -> None:
    print(line, flush=True)


def run_step(name: str, step, *arguments) -> tuple[str, bool, float]:
    """Announces and runs a step; gives its name, whether it passed, and its seconds."""
    say(f"\n== {name} ==")
    start = time.monotonic()
    passed = step(*arguments)
    return name, passed, time.monotonic() - start


def summary(results: list[tuple[str, bool, float]]) -> int:
    say("\n== summary ==")
    for name, passed, seconds in results:
        say(f"{name:<24} {'passed' if passed else 'FAILED':<6} {seconds:6.0f} s")
    return 0 if all(passed for _, passed, _ in results) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(1)
