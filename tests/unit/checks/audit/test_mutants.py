"""Mutants change asked lines only, differ from the reference, and are the same on every call."""

import ast
import inspect
from pathlib import Path

import pytest

from checks import LESSONS
from checks.audit import audit
from checks.audit.mutants import MOST, mutants
from helpers import solution_markers
from solutions import d1_moe as reference

REFERENCE = Path(reference.__file__)
NAMES = [check.name for check in LESSONS["d1_moe"]]

MODULE = """
def asked(x, n=2):
    y = x * 3
    # BEGIN SOLUTION
    if n == 2:
        y += max(y, n, key=abs)
    return y - 1, -n
    # END SOLUTION
"""


@pytest.fixture
def module(tmp_path):
    path = tmp_path / "module.py"
    path.write_text(MODULE, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_mutants_are_the_same_on_every_run(name):
    assert mutants(REFERENCE, name) == mutants(REFERENCE, name)


@pytest.mark.parametrize("name", NAMES)
def test_mutants_are_python_differ_from_the_reference_and_from_each_other(name):
    found = mutants(REFERENCE, name)
    source = solution_markers.source_of(REFERENCE.read_text(encoding="utf-8"), name)
    texts = {mutant.source for mutant in found}
    assert 1 <= len(found) <= MOST
    assert len(texts) == len({mutant.description for mutant in found}) == len(found)
    assert ast.unparse(ast.parse(source)) not in texts
    assert all(ast.unparse(ast.parse(text)) == text for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_only_asked_lines_change(name):
    source = solution_markers.source_of(REFERENCE.read_text(encoding="utf-8"), name)
    emptied = {
        line.strip() for line in ast.unparse(ast.parse(solution_markers.stub(source))).splitlines()
    }
    given = emptied - {"raise NotImplementedError"}
    for mutant in mutants(REFERENCE, name):
        lines = {line.strip() for line in mutant.source.splitlines()}
        assert given <= lines, mutant.description


def test_every_kind_of_mistake_is_made(module):
    changed = {mutant.description.partition(" → ")[2] for mutant in mutants(module, "asked")}
    assert changed == {
        "if n != 2:",
        "if n == 3:",
        "if not n == 2:",
        "y -= max(y, n, key=abs)",
        "y += max(n, y, key=abs)",
        "y += max(y, n)",
        "pass",
        "return (y + 1, -n)",
        "return (y - 2, -n)",
        "return (y - 1, 1 + -n)",
        "return (-n, y - 1)",
    }


def test_a_description_shows_the_statement_before_and_after(module):
    sources = {mutant.description: mutant.source for mutant in mutants(module, "asked")}
    text = sources["return (y - 1, -n) → return (y + 1, -n)"]
    names = {}
    exec(text, names)
    assert names["asked"](1, n=1) == (4, -1)


def test_a_name_that_is_not_there_is_refused(module):
    with pytest.raises(ValueError, match="no top-level function or class missing"):
        mutants(module, "missing")


@pytest.mark.parametrize("check", LESSONS["d1_moe"], ids=lambda check: check.id)
def test_a_mutant_can_be_called_like_the_reference(check):
    wanted = list(inspect.signature(check.reference_answer).parameters)
    for _, answer in audit.runnable_mutants(check, ()):
        assert answer is not check.reference_answer
        assert list(inspect.signature(answer).parameters) == wanted


@pytest.mark.parametrize("check", LESSONS["d1_moe"], ids=lambda check: check.id)
def test_a_listed_equivalent_is_left_out(check):
    every = [description for description, _ in audit.runnable_mutants(check, ())]
    kept = [description for description, _ in audit.runnable_mutants(check, every[:1])]
    assert kept == every[1:]
