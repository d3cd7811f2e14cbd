"""What D1.2 asks about wrong experts, by their weights and by what they make."""

import re

import pytest
from torch import nn

from checks import CHECKS
from checks.audit.known_mistakes import known_mistakes
from checks.d1_moe.cases import Routing
from checks.d1_moe.experts import _registered_slip
from checks.grading.result import CheckFailed

CASE = Routing(20, 11, 5, 2, 9, seed=0)


@pytest.mark.parametrize(
    ("matrices", "width", "asked"),
    [
        (2, 9, "Those are 2 matrices for each expert"),
        (3, 6, "Those are experts of width 6"),
        (4, 9, "Those are 4 matrices for each expert"),
        (0, 9, "Is it a Python list or dict"),
    ],
)
def test_a_count_is_asked_about_by_the_matrices_that_make_it(matrices, width, asked):
    array = nn.ModuleList(nn.Linear(11, width, bias=False) for _ in range(5 * matrices))
    assert asked in _registered_slip(array, 5 * matrices * 11 * width, CASE)


@pytest.mark.parametrize(
    ("mistake", "told"),
    [
        ("ResidualExperts", r"Is x added to what the expert makes\?"),
        ("GeluGates", r"with SiLU on the gate\?"),
        ("InputInFloat32", r"the same dtype.* That is with weights and x in bfloat16"),
    ],
)
def test_a_known_mistake_is_told_with_what_it_does(mistake, told):
    with pytest.raises(CheckFailed) as refused:
        CHECKS["D1.2"](known_mistakes("D1.2")[mistake], seed=20261301)
    assert re.search(told, str(refused.value))
