"""Each claim of a study is held against every stored row, and one row is measured again here."""

from functools import cache
from importlib import import_module

import pytest

from lessons import stored_studies
from lessons.stored_studies import Row
from tests.studies.drawn_row import commit, drawn, far_off


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `row` runs per stored seed, and with the row that is drawn."""
    if "row" not in metafunc.fixturenames:
        return
    name = metafunc.module.__name__.rpartition(".test_")[2]
    study = import_module(f"tests.studies.{name}")
    rows = [pytest.param((name, seed, True), id=f"stored-{seed}") for seed in study.SEEDS]
    found, seed = drawn(commit())
    if found == name:
        rows.append(pytest.param((name, seed, False), id=f"here-{seed}"))
    metafunc.parametrize("row", rows, indirect=True)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> Row:
    name, seed, is_stored = request.param
    if is_stored:
        return next(row for row in stored_studies.rows(name) if row["seed"] == seed)
    return measured_here(name, seed)


@cache
def measured_here(name: str, seed: int) -> Row:
    """The row measured anew. On the texts of the same Python it is the stored one, within the
    spread over the seeds; on others only the claims must hold."""
    found = import_module(f"tests.studies.{name}").measure(seed)
    print(found)
    if stored_studies.python_of(name) == stored_studies.PYTHON:
        assert not far_off(found, seed, stored_studies.rows(name))
    return found
