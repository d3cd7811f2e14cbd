"""Refusals of `MoELayer` ask about what is wrong beside an output or choices that are right."""

import pytest
import torch

from solutions import d1_moe as reference
from tests.unit.checks.d1_moe.refusals import refusal


class Gates(reference.MoELayer):
    def forward(self, x):
        tokens = x.flatten(0, 1)
        self.last_experts, experts = self.router(tokens)
        y = reference.dispatch_combine(tokens, self.last_experts, experts, self.experts)
        return y.reshape(x.shape)


class TopTwo(reference.MoELayer):
    def __init__(self, d_model, num_experts, top_k, expert_dim):
        super().__init__(d_model, num_experts, min(2, num_experts), expert_dim)


class ByPosition(reference.MoELayer):
    def forward(self, x):
        y = super().forward(x)
        choices = self.last_experts.unflatten(0, x.shape[:2])
        self.last_experts = choices.transpose(0, 1).flatten(0, 1)
        return y


class Anew(reference.MoELayer):
    def forward(self, x):
        num_experts, width = self.router.gate.weight.shape
        self.router = reference.TopKRouter(width, num_experts, self.router.top_k).to(x.dtype)
        return super().forward(x)


class WithGradientsOnly(reference.MoELayer):
    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        self.last_experts = self.last_experts if torch.is_grad_enabled() else before
        return y


class InFloat32(reference.MoELayer):
    def forward(self, x):
        return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


class Flat(reference.MoELayer):
    def forward(self, x):
        return super().forward(x).flatten(0, 1)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Gates, "each of its rows sums to 1. Of the two things that the router returns, are those"),
        (TopTwo, "Does top_k reach the router as it came"),
        (ByPosition, "The output is right. Are these the choices that it is made from, row t"),
        (Anew, "A second call on all tokens gives yet another result"),
        (WithGradientsOnly, "last_experts of a call under no_grad must be"),
        (InFloat32, "That is with the layer and x in bfloat16: is x brought to another type"),
    ],
)
def test_the_slip_is_asked_about(answer, said):
    assert said in refusal("D1.5", answer)


def test_a_shape_that_is_explained_has_one_question():
    assert refusal("D1.5", Flat).endswith("laid together: where are they taken apart again?")
