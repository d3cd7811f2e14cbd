"""The bank of D4: its right answers do what slow loops do, and each wrong one does not."""

import pytest

from tests.oracle import d4_model as model
from tests.oracle import d4_training as training
from tests.oracle.faults import always_raises, entries, faults_by_case

LOOKS = {**model.LOOKS, **training.LOOKS}
PUBLIC = {**model.PUBLIC, **training.PUBLIC}


@pytest.mark.parametrize("exercise", LOOKS)
def test_reference_has_no_fault(exercise):
    assert set().union(*faults_by_case(LOOKS[exercise], PUBLIC[exercise])) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d4_deepseek", "right"))
def test_right_answer_has_no_fault(exercise, answer):
    assert set().union(*faults_by_case(LOOKS[exercise], answer)) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d4_deepseek", "wrong"))
def test_wrong_answer_has_a_fault_of_its_own(exercise, answer):
    seen = faults_by_case(LOOKS[exercise], answer)
    assert set().union(*seen)
    assert not always_raises(seen), seen
