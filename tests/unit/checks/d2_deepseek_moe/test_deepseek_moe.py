"""What D2.3d asks about slices, rows and sizes that are not those of its parts."""

import pytest

from checks.audit.known_mistakes import known_mistakes
from checks.d2_deepseek_moe.layer import check_deepseek_moe
from checks.grading.result import CheckFailed
from solutions import d2_deepseek_moe as reference


class Flat(reference.DeepSeekMoE):
    """Cuts x before its positions are tokens."""

    def forward(self, x):
        self.router(x.reshape(-1, x.shape[1]))


class TakenOff(reference.DeepSeekMoE):
    """Shared experts are taken off."""

    def forward(self, x):
        return super().forward(x) - 2 * self.shared(x)


MISTAKES = known_mistakes("D2.3d")


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (MISTAKES["StaysCut"], "where are a token's slices put together again"),
        (MISTAKES["RemembersFirstSegment"], r"must count rows \(\d a token\), "),
        (MISTAKES["WidthForNumber"], r"layer.experts must be num_experts=\d+ experts, got"),
        (MISTAKES["WholeTokenRoutes"], "made for slices, and not for whole tokens"),
        (Flat, "do layer.router and the routed experts get these rows, and layer.shared"),
        (TakenOff, "Are the shared experts added, and not taken off"),
    ],
)
def test_a_refusal_names_the_part_and_what_it_gets(mistake, said):
    with pytest.raises(CheckFailed, match=said):
        check_deepseek_moe(mistake, seed=0)
