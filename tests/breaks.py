"""Deliberate breaks of the machinery, each of which a test must notice: `python -m tests.breaks`.

`breaks.json` names each by symbol and text, so that it follows its code into another module. It is
made in a copy of the tree, and the tests that import the broken module run there. What they miss
goes once through the audit; what that misses too has survived.
"""

import argparse
import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.importing import MACHINERY, importing, modules

ROOT = Path(__file__).resolve().parent.parent
SECONDS = 600  # that the tests of one break may take, and its audit
COPIES = 2  # at once
PYTEST = ("pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "tests.breaks")


def breaks() -> list[dict[str, str]]:
    """In `symbol`, a top-level function or class or `Class.method`, `old` becomes `new`."""
    return json.loads((ROOT / "tests" / "breaks.json").read_text(encoding="utf-8"))


def applied(wanted: dict[str, str], root: Path) -> tuple[Path, str]:
    """The file that the break is in, and its text with the break.

    Where no symbol of that name holds `old`, the one function that does is meant: it was renamed.
    Raises `ValueError` unless one symbol fits and holds it once.
    """
    places = [place for place in _symbols(root, wanted["old"]) if wanted["old"] in place[2]]
    named = [place for place in places if place[1] == wanted["symbol"]]
    fitting = named or [place for place in places if not place[2].startswith("class ")]
    if len(fitting) != 1 or fitting[0][2].count(wanted["old"]) != 1:
        where = ", ".join(f"{path.relative_to(root)} {name}" for path, name, _ in fitting)
        raise ValueError(f"{wanted['symbol']}: {wanted['old']!r} is in {where or 'no function'}")
    path, _, body = fitting[0]
    text = path.read_text(encoding="utf-8")
    return path, text.replace(body, body.replace(wanted["old"], wanted["new"]), 1)


def _symbols(root: Path, old: str) -> Iterator[tuple[Path, str, str]]:
    """File, name and text of each symbol in those files of the machinery that hold `old`."""
    for path in modules(root, MACHINERY):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text if old in text else "")
        lines = text.splitlines(keepends=True)
        for owner in (tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))):
            for node in owner.body:
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    name = node.name if owner is tree else f"{owner.name}.{node.name}"
                    yield path, name, "".join(lines[node.lineno - 1 : node.end_lineno])


def tried(wanted: dict[str, str]) -> tuple[bool, str, float]:
    """Whether the break was noticed, by whom (or why not), and after how many seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        whole, copy = _copied(Path(folder) / "whole"), _copied(Path(folder) / "broken")
        path, text = applied(wanted, copy)
        path.write_text(text, encoding="utf-8")
        noticed, who = _noticed(copy, whole, importing(path, copy))
        lesson = re.search(r"\bd\d", str(path.relative_to(copy)))
        audit = ("checks", "audit", lesson[0] if lesson else "d1")
        if not noticed and _run(copy, *audit)[0] == 1 and _run(whole, *audit)[0] == 0:
            noticed, who = True, " ".join(audit)
    return noticed, who, time.monotonic() - start


def _copied(folder: Path) -> Path:
    """`folder` with the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    for name in listed.stdout.decode().strip("\0").split("\0"):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


def _noticed(copy: Path, whole: Path, tests: list[str]) -> tuple[bool, str]:
    """Whether a test fails with the break and passes without it, and which."""
    code, said = _run(copy, *PYTEST, *tests)
    failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", said, re.MULTILINE)
    if code == 0 or not failed:
        return False, "survived" if code == 0 else f"survived: {said[-200:]}"
    if _run(whole, *PYTEST, failed[1])[0]:
        return False, f"survived: {failed[1]} fails without it, too"
    return True, failed[1]


def pytest_collection_modifyitems(items: list) -> None:
    """Tests of few cases come first, and most breaks are noticed soon: pytest reads this here."""
    cases = Counter(item.nodeid.partition("[")[0] for item in items)
    items.sort(key=lambda item: cases[item.nodeid.partition("[")[0]])


def _run(copy: Path, *module: str) -> tuple[int, str]:
    """Exit code and output of a module of Python's that runs in `copy`."""
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "COLUMNS": "500"}
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=copy,
        env={**os.environ, **quiet, "PYTHONPATH": str(copy), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=SECONDS)
        return process.returncode, said
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return -1, "ran out of time"


def main(arguments: list[str]) -> int:
    """Prints who noticed each break, and returns 1 if one survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.breaks", description=__doc__)
    parser.add_argument("--only", nargs="+", type=int, metavar="N", help="breaks by their number")
    every = dict(enumerate(breaks(), start=1))
    chosen = {number: every[number] for number in parser.parse_args(arguments).only or every}
    survived = 0
    with ThreadPoolExecutor(COPIES) as pool:
        results = pool.map(tried, chosen.values())
        for (number, wanted), (noticed, who, seconds) in zip(chosen.items(), results, strict=True):
            place = f"{number:>2} {wanted['part']:<18}{wanted['symbol']:<36}"
            print(f"{'✓' if noticed else '✗'} {place}{seconds:5.0f} s  {who}", flush=True)
            survived += not noticed
    print(f"{len(chosen) - survived} of {len(chosen)} breaks were noticed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
