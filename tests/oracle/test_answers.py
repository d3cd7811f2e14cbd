"""Slow loops judge the bank: its right answers do what they do, and each wrong one does not."""

from collections import defaultdict

import pytest

from checks import CHECKS
from tests.oracle import (
    d1_moe,
    d2_balance,
    d2_deepseek_moe,
    d3_parts,
    d3_pieces,
    d3_whole,
    d4_machines,
    d4_model,
    d4_training,
)
from tests.oracle.answers import answers
from tests.oracle.faults import fails_and_runs, faults_of

MODULES = (
    d1_moe,
    d2_deepseek_moe,
    d2_balance,
    d3_parts,
    d3_pieces,
    d3_whole,
    d4_machines,
    d4_model,
    d4_training,
)
LOOKS = {exercise: look for module in MODULES for exercise, look in module.LOOKS.items()}
PUBLIC = {exercise: answer for module in MODULES for exercise, answer in module.PUBLIC.items()}
# Any other wrong answer that raises in every case is one we wrote badly.
RAISES_ALWAYS = {("D1.2", "SwappedSizes")}

EVERY = pytest.mark.parametrize("exercise", CHECKS)


@pytest.fixture(scope="module")
def bank():
    """The bank's answers by kind and exercise."""
    found = {"right": defaultdict(list), "wrong": defaultdict(list)}
    for kind, by_exercise in found.items():
        for exercise, answer in answers(kind):
            by_exercise[exercise].append(answer)
    return found


@EVERY
def test_there_is_a_look_and_a_bank(bank, exercise):
    assert exercise in LOOKS.keys() & PUBLIC.keys()
    assert bank["right"][exercise] and bank["wrong"][exercise]


@EVERY
def test_the_reference_has_no_fault(exercise):
    assert faults_of(LOOKS[exercise], PUBLIC[exercise]) == set()


@EVERY
def test_right_answers_have_no_fault(bank, subtests, exercise):
    for answer in bank["right"][exercise]:
        with subtests.test(answer.__name__):
            assert faults_of(LOOKS[exercise], answer) == set()


@EVERY
def test_wrong_answers_have_a_fault_of_their_own(bank, subtests, exercise):
    for answer in bank["wrong"][exercise]:
        with subtests.test(answer.__name__):
            fails, runs = fails_and_runs(LOOKS[exercise], answer)
            assert fails
            assert runs == ((exercise, answer.__name__) not in RAISES_ALWAYS)
