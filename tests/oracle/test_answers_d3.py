"""The bank of D3: its right answers do what slow loops do, and each wrong one does not."""

import pytest

from checks.answers.d3_mla import bank
from tests.oracle import d3_parts as parts
from tests.oracle import d3_pieces as pieces
from tests.oracle import d3_whole as whole
from tests.oracle.faults import always_raises, entries, faults_by_case

LOOKS = {**parts.LOOKS, **pieces.LOOKS, **whole.LOOKS}
PUBLIC = {**parts.PUBLIC, **pieces.PUBLIC, **whole.PUBLIC}


@pytest.mark.parametrize("exercise", LOOKS)
def test_reference_has_no_fault(exercise):
    assert set().union(*faults_by_case(LOOKS[exercise], PUBLIC[exercise])) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries(bank, "right"))
def test_right_answer_has_no_fault(exercise, answer):
    assert set().union(*faults_by_case(LOOKS[exercise], answer)) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries(bank, "wrong"))
def test_wrong_answer_has_a_fault_of_its_own(exercise, answer):
    seen = faults_by_case(LOOKS[exercise], answer)
    assert set().union(*seen)
    assert not always_raises(seen), seen


@pytest.mark.parametrize("exercise", LOOKS)
def test_bank_is_full_and_its_names_are_unique(exercise):
    answers = bank.answers[exercise]
    names = [answer.__name__ for answer in answers.right + answers.wrong]
    assert len(answers.right) >= 4
    assert len(answers.wrong) >= 10
    assert len(set(names)) == len(names)
    assert all(a.__doc__.count("\n") == 0 for a in answers.right + answers.wrong)
