"""Each claim of a study is held against every stored row, and against one measured here."""

from functools import cache
from importlib import import_module

import pytest

from tests.studies import stored


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes `row` runs per stored seed, and per seed that is measured here."""
    if "row" not in metafunc.fixturenames:
        return
    name = metafunc.module.__name__.rpartition(".test_")[2]
    study = import_module(f"tests.studies.{name}")
    kept = [pytest.param((name, seed, True), id=f"stored-{seed}") for seed in study.SEEDS]
    live = [pytest.param((name, seed, False), id=f"here-{seed}") for seed in study.HERE]
    metafunc.parametrize("row", kept + live, indirect=True)


@pytest.fixture
def row(request: pytest.FixtureRequest) -> stored.Row:
    name, seed, is_stored = request.param
    if is_stored:
        return next(row for row in stored.rows(name) if row["seed"] == seed)
    return measured_here(name, seed)


@cache
def measured_here(name: str, seed: int) -> stored.Row:
    found = import_module(f"tests.studies.{name}").measure(seed)
    print(found)
    return found
