"""The bank of D3: its right answers do what slow loops do, and each wrong one does not."""

import pytest

from tests.oracle import d3_parts as parts
from tests.oracle import d3_pieces as pieces
from tests.oracle import d3_whole as whole
from tests.oracle.faults import always_raises, entries, faults_by_case

LOOKS = {**parts.LOOKS, **pieces.LOOKS, **whole.LOOKS}
PUBLIC = {**parts.PUBLIC, **pieces.PUBLIC, **whole.PUBLIC}


@pytest.mark.parametrize("exercise", LOOKS)
def test_reference_has_no_fault(exercise):
    assert set().union(*faults_by_case(LOOKS[exercise], PUBLIC[exercise])) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d3_mla", "right"))
def test_right_answer_has_no_fault(exercise, answer):
    assert set().union(*faults_by_case(LOOKS[exercise], answer)) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d3_mla", "wrong"))
def test_wrong_answer_has_a_fault_of_its_own(exercise, answer):
    seen = faults_by_case(LOOKS[exercise], answer)
    assert set().union(*seen)
    assert not always_raises(seen), seen
