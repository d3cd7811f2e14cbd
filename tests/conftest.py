"""What holds for the whole test run."""

from pathlib import Path

import helpers  # noqa: F401  # isort: skip  # before torch: its threads sleep while they wait
import pytest
import torch

from course import ROOT
from lessons.freshness import stems

WORK = ROOT / "work"
PER_LESSON = ("tests/lessons/", "tests/oracle/", "tests/old_notebooks/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raises unless each test of a folder that is run per lesson names the one it is of."""
    known = [stem[:2] for stem in stems(ROOT)]
    for item in items:
        named = [lesson for lesson in known if lesson in item.nodeid.lower()]
        if item.nodeid.startswith(PER_LESSON) and len(named) != 1:
            raise pytest.UsageError(f"no lesson or several would run it: {item.nodeid}")


def snapshot(folder: Path) -> dict[str, bytes]:
    """The folder's files and their bytes; empty where there is no such folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """As the lessons' set-up cells have it: the same numbers whatever else the machine does."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def work_untouched():
    """The learner's folder is byte-identical after the tests."""
    before = WORK.exists(), snapshot(WORK)
    yield
    assert (WORK.exists(), snapshot(WORK)) == before, "the tests changed work/"
