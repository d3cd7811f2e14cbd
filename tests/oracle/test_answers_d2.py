"""The bank of D2: its right answers do what slow loops do, and each wrong one does not."""

import pytest
import torch

import solutions.d2_deepseek_moe as reference
from tests.oracle import d2_balance as balance
from tests.oracle import d2_deepseek_moe as look
from tests.oracle.faults import always_raises, entries, faults_by_case

DOUBLE, SINGLE = torch.float64, torch.float32
SHARED = [(5, 4, 3, 2, 3), (4, 6, 2, 5), (5, 3, 4), (6, 4, 1, 1, 2, 2)]
SEGMENTS = [
    (t, d, m, dtype)
    for t, d, m in [(5, 12, 3), (3, 8, 4), (1, 6, 2), (4, 5, 5)]
    for dtype in (SINGLE, DOUBLE)
] + [(4, 6, 1, DOUBLE)]
FINE_GRAINED = [
    (16, 2, 32, 4),
    (8, 3, 12, 6),
    (5, 1, 7, 1),
    (6, 2, 10, 4),
    (8, 2, 6, 0),
    (9, 4, 9, 3),
    (4, 2, 6, 4),
]
GROUPS = [
    (7, 12, 4, 2, 0.0, DOUBLE),
    (7, 12, 3, 2, 0.0, SINGLE),
    (1, 8, 4, 3, -3.0, DOUBLE),
    (5, 10, 5, 1, 0.0, DOUBLE),
    (6, 9, 3, 1, 3.0, DOUBLE),
    (4, 6, 3, 3, 0.0, DOUBLE),
]
GROUPED = {"num_groups": 4, "top_groups": 2}
ROUTERS = [
    (6, 5, 6, 2, {}, 0.0, DOUBLE),
    (6, 5, 8, 3, {"scale": 2.5, **GROUPED}, 0.0, DOUBLE),
    (6, 5, 12, 2, {"scale": 1.5, **GROUPED}, -2.0, SINGLE),
    (5, 6, 5, 3, {"affinity": "softmax", "renormalise": False, "scale": 16.0}, 0.0, DOUBLE),
    (5, 6, 4, 2, {"affinity": "softmax", "scale": 2.0}, 0.0, SINGLE),
    (5, 4, 9, 2, {"renormalise": False, "num_groups": 3, "top_groups": 2}, -1.5, DOUBLE),
    (1, 4, 6, 1, {"renormalise": False, "scale": 0.5}, 0.0, DOUBLE),
    (3, 4, 3, 3, {}, 0.0, DOUBLE),
]
BIASES = [
    ([0.3, -1.7, 0.0, 0.2], [4, 2, 1, 3], 0.1, SINGLE),
    ([0.05, 0.1, -0.2, 1.4, 0.0], [10, 11, 0, 30, 9], 0.001, DOUBLE),
    ([0.0, 0.0, 0.0], [3, 3, 3], 0.5, SINGLE),
    ([0.1, -0.1], [0, 0], 0.01, DOUBLE),
    ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 1, 2, 0, 100, 30], 0.02, SINGLE),
]
LAYERS = [
    (2, 3, 6, 4, 2, 5, 2, {"scale": 2.5}),
    (2, 3, 8, 6, 2, 3, 1, {"num_segments": 2, "scale": 2.5, "num_groups": 3, "top_groups": 2}),
    (1, 4, 9, 5, 3, 4, 1, {"num_segments": 3, "affinity": "softmax", "renormalise": False}),
    (3, 2, 8, 3, 1, 3, 2, {"num_segments": 4, "scale": 1.5, "renormalise": False}),
]
# Real tokens may stand anywhere: no padding, padding on either side, a hole, only padding.
FULL = [[True] * 4, [True] * 4, [True] * 4]
LEFT = [[False, False, True, True], [True] * 4, [False, True, True, True]]
RIGHT = [[True, True, False, False], [True, False, False, False], [True] * 4]
HOLES = [[True, False, True, True], [False, True, False, True], [False, False, False, False]]
NONE = [[False] * 4, [False] * 4, [False] * 4]
BATCHES = [
    (3, 4, 6, 5, 2, 1, [RIGHT, LEFT, HOLES, LEFT], 0.1, SINGLE),
    (3, 4, 8, 8, 2, 2, [LEFT, FULL, RIGHT, RIGHT], 0.02, SINGLE),
    (3, 4, 9, 7, 3, 3, [HOLES, RIGHT, HOLES], 0.003, DOUBLE),
    (3, 4, 6, 12, 1, 1, [NONE, HOLES], 0.5, SINGLE),
    (3, 4, 6, 4, 2, 2, [FULL, LEFT, RIGHT], 0.05, DOUBLE),
]
AFFINITIES = [
    (9, 12, 5, 2, 0.05, 1.0, DOUBLE),
    (6, 10, 7, 3, 0.01, 0.5, DOUBLE),
    (8, 7, 4, 1, 0.2, 2.0, SINGLE),
    (5, 1, 6, 2, 0.1, 0.0, DOUBLE),
    (1, 9, 4, 2, 0.3, 1.0, DOUBLE),
]
# None of these limits is met exactly: floats would decide for the one side or the other.
LIMITS = [
    (2, 512, 0.1),
    (2, 40, 0.21),
    (3, 777, 0.15),
    (1, 90, 0.35),
    (4, 50, 0.043),
    (8, 4096, 0.1),
    (6, 333, 0.061),
    (5, 40, 0.0),
]
LOOKS = {
    "D2.1": (look.at_shared, SHARED),
    "D2.2a": (look.at_cut, SEGMENTS),
    "D2.2b": (look.at_merge, SEGMENTS),
    "D2.2c": (look.at_fine_grained, FINE_GRAINED),
    "D2.3a": (look.at_groups, GROUPS),
    "D2.3b": (look.at_biased_router, ROUTERS),
    "D2.3c": (balance.at_update, BIASES),
    "D2.3d": (look.at_deepseek_moe, LAYERS),
    "D2.3e": (balance.at_rebalance, BATCHES),
    "D2.I1": (balance.at_control, AFFINITIES),
    "D2.I2": (balance.at_most_experts, LIMITS),
}
PUBLIC = {
    "D2.1": reference.SharedExperts,
    "D2.2a": reference.segment_tokens,
    "D2.2b": reference.merge_segments,
    "D2.2c": reference.fine_grained,
    "D2.3a": reference.keep_top_groups,
    "D2.3b": reference.BiasedRouter,
    "D2.3c": reference.update_bias,
    "D2.3d": reference.DeepSeekMoE,
    "D2.3e": reference.rebalance,
    "D2.I1": reference.control_bias,
    "D2.I2": reference.most_experts,
}


@pytest.mark.parametrize("exercise", LOOKS)
def test_reference_has_no_fault(exercise):
    assert set().union(*faults_by_case(LOOKS[exercise], PUBLIC[exercise])) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d2_deepseek_moe", "right"))
def test_right_answer_has_no_fault(exercise, answer):
    assert set().union(*faults_by_case(LOOKS[exercise], answer)) == set()


@pytest.mark.parametrize(("exercise", "answer"), entries("d2_deepseek_moe", "wrong"))
def test_wrong_answer_has_a_fault_of_its_own(exercise, answer):
    seen = faults_by_case(LOOKS[exercise], answer)
    assert set().union(*seen)
    assert not always_raises(seen), seen
