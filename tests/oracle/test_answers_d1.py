"""The bank of D1: its right answers do what slow loops do, and each wrong one does not."""

import pytest
import torch

import solutions.d1_moe as reference
from tests.oracle import d1_moe as look
from tests.oracle.faults import always_raises, entries, faults_by_case

DOUBLE, SINGLE = torch.float64, torch.float32
CHOICES = [
    ([[0, 1], [1, 2], [1, 3], [2, 0], [1, 0]], 4),
    ([[1, 2], [2, 1], [4, 1]], 6),
    ([[2], [0], [2]], 3),
    ([[3, 1, 0]], 5),
]
LOADS = [
    ([4, 2, 1, 3],),
    ([5, 0, 4],),
    ([7],),
    ([0, 0, 0],),
    ([3, 3, 3],),
    ([0, 9, 0, 1, 1, 0],),
    ([12, 0, 0, 0, 0],),
]
ROUTERS = [
    (9, 6, 4, 2, DOUBLE),
    (9, 6, 4, 2, SINGLE),
    (5, 7, 6, 3, DOUBLE),
    (1, 5, 4, 2, DOUBLE),
    (6, 5, 4, 1, SINGLE),
    (4, 5, 3, 3, DOUBLE),
]
DISPATCHES = [
    (9, 6, 4, 2, range(4), DOUBLE),
    (9, 6, 4, 2, range(4), SINGLE),
    (7, 5, 5, 3, (0, 2, 3, 4), DOUBLE),
    (2, 5, 6, 2, (1, 2, 5), DOUBLE),
    (1, 4, 3, 2, range(3), DOUBLE),
    (6, 4, 3, 1, range(3), DOUBLE),
    (8, 4, 3, 3, range(3), SINGLE),
]
LOOKS = {
    "D1.1": (look.at_router, ROUTERS),
    "D1.2": (look.at_array, [(4, 7, 4), (6, 5, 3), (3, 8, 1)]),
    "D1.3": (look.at_dispatch, DISPATCHES),
    "D1.4a": (look.at_load, CHOICES),
    "D1.4b": (look.at_measure(look.cv), LOADS),
    "D1.4c": (look.at_measure(look.violation), LOADS),
    "D1.5": (look.at_layer, [(2, 3, 6, 4, 2, 8), (1, 5, 4, 5, 3, 3), (3, 2, 5, 3, 1, 4)]),
    "D1.I1": (look.at_sorted, DISPATCHES),
    "D1.I2": (
        look.at_dropped,
        [(*c, factor) for c in CHOICES for factor in (0.5, 1.0, 1.25, 1.4, 2.0)],
    ),
}
PUBLIC = {
    "D1.1": reference.TopKRouter,
    "D1.2": reference.ExpertArray,
    "D1.3": reference.dispatch_combine,
    "D1.4a": reference.expert_load,
    "D1.4b": reference.load_cv,
    "D1.4c": reference.max_violation,
    "D1.5": reference.MoELayer,
    "D1.I1": reference.sorted_dispatch,
    "D1.I2": reference.dropped_share,
}
# Any other wrong answer that never runs through is one we wrote badly.
RAISES_ALWAYS = {"SwappedSizes"}


@pytest.mark.parametrize("exercise", LOOKS)
def test_reference_has_no_fault(exercise):
    assert set().union(*faults_by_case(LOOKS[exercise], PUBLIC[exercise])) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d1_moe", "right"))
def test_right_answer_has_no_fault(exercise, answer):
    assert set().union(*faults_by_case(LOOKS[exercise], answer)) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d1_moe", "wrong"))
def test_wrong_answer_has_a_fault_of_its_own(exercise, answer):
    seen = faults_by_case(LOOKS[exercise], answer)
    assert set().union(*seen)
    assert always_raises(seen) == (answer.__name__ in RAISES_ALWAYS), seen
