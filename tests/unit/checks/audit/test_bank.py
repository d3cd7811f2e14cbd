"""The bank of answers: no answer is lost, every module is found, and what is amiss is refused."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from checks import CHECKS, STEMS
from checks.audit import answers, bank
from checks.audit.answers import Answers, answers_to, audited, right, wrong
from checks.audit.audit import reference_file
from checks.audit.known_mistakes import known_mistakes
from checks.audit.mutants import mutants
from solutions.d1_moe import load_cv

FOLDER = Path(bank.__file__).parent
MODULES = [found.name for found in pkgutil.walk_packages(bank.__path__, f"{bank.__name__}.")]

# How many right and wrong answers each exercise has. Raise a number when you add an answer.
COUNTS = {
    "D1.1": (13, 56),
    "D1.2": (10, 38),
    "D1.3": (9, 40),
    "D1.4a": (8, 26),
    "D1.4b": (6, 26),
    "D1.4c": (5, 24),
    "D1.5": (6, 45),
    "D1.I1": (6, 32),
    "D1.I2": (6, 26),
    "D1.O1": (8, 20),
    "D2.1": (7, 52),
    "D2.2a": (8, 28),
    "D2.2b": (7, 25),
    "D2.2c": (5, 27),
    "D2.3a": (7, 37),
    "D2.3b": (8, 93),
    "D2.3c": (9, 40),
    "D2.3d": (6, 71),
    "D2.3e": (5, 36),
    "D2.I1": (5, 22),
    "D2.I2": (5, 22),
    "D2.O1": (7, 21),
    "D3.1": (8, 37),
    "D3.2": (9, 66),
    "D3.3a": (10, 60),
    "D3.3b": (9, 41),
    "D3.3c": (9, 36),
    "D3.3d": (10, 59),
    "D3.3e": (10, 89),
    "D3.3f": (10, 40),
    "D3.4": (9, 44),
    "D3.I1": (8, 33),
    "D3.I2": (8, 38),
    "D3.O1": (7, 22),
    "D4.1": (7, 54),
    "D4.2a": (7, 48),
    "D4.2b": (6, 37),
    "D4.3a": (8, 38),
    "D4.3b": (7, 64),
    "D4.3c": (7, 42),
    "D4.3d": (10, 56),
    "D4.I1": (8, 39),
    "D4.I2": (7, 29),
    "D4.I3a": (5, 17),
    "D4.I3b": (4, 19),
    "D4.I3c": (4, 17),
    "D4.O1": (9, 27),
}

AUDITED = [check for stem in STEMS for check in audited(stem)]
every_exercise = pytest.mark.parametrize("check", AUDITED, ids=lambda check: check.id)


def half_in(module):
    """An answer that claims to be defined in a module of the bank."""

    def half(load):
        """Half of it."""
        return load_cv(load) / 2

    half.__module__ = f"{bank.__name__}.{module}"
    return half


@every_exercise
def test_no_answer_is_lost(check):
    found = answers_to(check)
    assert (len(found.right), len(found.wrong)) == COUNTS[check.id]
    assert len(found.right) >= 4 and len(found.wrong) >= 10


@pytest.mark.parametrize("module", MODULES)
def test_every_module_can_be_imported(module):
    importlib.import_module(module)  # one whose answers belong to no exercise raises


def test_every_answer_in_the_files_belongs_to_an_exercise():
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")]
    for kind, place in (("right", 0), ("wrong", 1)):
        in_files = sum(len(re.findall(rf"^@{kind}$", text, re.MULTILINE)) for text in texts)
        assert in_files == sum(counts[place] for counts in COUNTS.values())


def test_every_file_is_in_a_package():
    paths = [path.relative_to(FOLDER).with_suffix("") for path in FOLDER.rglob("*.py")]
    files = {".".join((bank.__name__, *path.parts)) for path in paths if path.name != "__init__"}
    assert files <= set(MODULES)


def test_no_file_is_longer_than_a_reader_likes():
    texts = {path: path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.py")}
    assert [str(path) for path, text in texts.items() if text.count("\n") > 300] == []


@every_exercise
def test_a_docstring_is_one_line(check):
    found = answers_to(check)
    assert [a.__name__ for a in found.right + found.wrong if "\n" in a.__doc__] == []


@every_exercise
def test_an_equivalent_mutant_is_one_that_is_made(check):
    made = {mutant.description for mutant in mutants(reference_file(check), check.name)}
    assert answers_to(check).equivalent_mutants.keys() <= made


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_known_mistakes_are_the_wrong_answers_by_name(check):
    wanted = answers_to(check).wrong
    assert list(known_mistakes(check.id).values()) == wanted
    assert list(known_mistakes(check.id)) == [answer.__name__ for answer in wanted]


def test_known_mistakes_of_no_exercise_are_one_sentence():
    with pytest.raises(ValueError, match=r"exercise must be one of D1.1, .*, got 'D9.1'"):
        known_mistakes("D9.1")


def test_only_the_modules_of_the_exercise_are_imported():
    code = (
        "import sys; from checks.audit.known_mistakes import known_mistakes\n"
        "known_mistakes('D3.3e'); print(*(m for m in sys.modules if 'audit.bank.d' in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lesson = f"{bank.__name__}.d3_mla"
    exercise = f"{lesson}.multi_head_latent_attention"
    found = done.stdout.split()
    assert exercise in found
    assert all(module == lesson or module.startswith(exercise) for module in found)


@pytest.mark.parametrize("enter", [right, wrong])
def test_an_answer_without_docstring_is_refused(enter):
    half = half_in("d1_moe.load_cv")
    half.__doc__ = None
    with pytest.raises(ValueError, match="half must have a docstring that says its mistake"):
        enter(half)


@pytest.mark.parametrize("module", ["d1_moe.rotary_key", "d1_moe.load_cw.wrong", "d1_moe", "d9.a"])
def test_answers_in_a_module_of_no_exercise_are_refused(module):
    lesson = module.partition(".")[0]
    told = f"{bank.__name__}.{module} has answers, but {lesson} has no exercise of its name"
    with pytest.raises(ValueError, match=re.escape(told)):
        wrong(half_in(module))


@pytest.mark.parametrize("module", ["d1_moe.load_cv", "d1_moe.load_cv.wrong_form"])
def test_an_answer_is_entered_under_its_module_and_comes_back_unchanged(module, monkeypatch):
    monkeypatch.setattr(answers, "_entered", {})
    half = half_in(module)
    assert wrong(half) is half
    assert answers._entered == {half.__module__: Answers(wrong=[half])}


def test_two_answers_of_one_name_are_refused(monkeypatch):
    half = half_in("d1_moe.load_cv")
    answers_to(CHECKS["D1.4b"])
    twice = Answers(right=[load_cv, half], wrong=[half])
    monkeypatch.setitem(answers._entered, half.__module__, twice)
    with pytest.raises(ValueError, match=r"two answers to D1\.4b load_cv are called half"):
        answers_to(CHECKS["D1.4b"])


def test_an_exercise_without_module_is_one_sentence(monkeypatch):
    monkeypatch.setattr(CHECKS["D1.4b"], "name", "load_entropy")
    told = f"{bank.__name__}.d1_moe has no module named after D1.4b load_entropy"
    with pytest.raises(ValueError, match=re.escape(told)):
        answers_to(CHECKS["D1.4b"])
