"""The checks of D2.1 to D2.2c: typical slips are asked about."""

import pytest
import torch
from torch import nn

from checks.d2_deepseek_moe.fine_grained import check_fine_grained
from checks.d2_deepseek_moe.segments import check_merge_segments, check_segment_tokens
from checks.d2_deepseek_moe.shared import check_shared_experts
from checks.grading.check import CheckFailed
from helpers.model.llama import SwiGLU
from solutions import d2_deepseek_moe as reference


def refusal(check, answer) -> str:
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=3)
    return failed.value.message


def shared(made, forward=None):
    """`SharedExperts` whose experts are `made(d_model, expert_dim, num_shared)`."""

    class SharedExperts(reference.SharedExperts):
        def __init__(self, d_model, expert_dim, num_shared):
            nn.Module.__init__(self)
            self.experts = made(d_model, expert_dim, num_shared)

    if forward:
        SharedExperts.forward = forward
    return SharedExperts


def whole(d_model, expert_dim, num_shared):
    return SwiGLU(d_model, num_shared * expert_dim)


def one_by_one(d_model, expert_dim, num_shared):
    return nn.ModuleList(SwiGLU(d_model, expert_dim) for _ in range(num_shared))


class TwoLayers(nn.Module):
    """As many weights as the experts have, without a gate."""

    def __init__(self, d_model, expert_dim, num_shared):
        super().__init__()
        self.first = nn.Parameter(torch.randn(d_model, num_shared * expert_dim))
        self.last = nn.Parameter(torch.randn(2 * num_shared * expert_dim, d_model))

    def forward(self, x):
        hidden = (x @ self.first).relu()
        return torch.cat([hidden, hidden], dim=-1) @ self.last


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        (shared(lambda d, e, n: [*one_by_one(d, e, n)]), "as `self.experts`? A Python list"),
        (shared(lambda d, e, n: SwiGLU(d, e)), "made only once, or do the others stand in"),
        (shared(lambda d, e, n: SwiGLU(d, n * e - 1)), "Those are networks of width"),
        (shared(lambda d, e, n: nn.Linear(d, 2 * n * e + 1)), "three matrices, gate, up and down"),
        (shared(lambda d, e, n: SwiGLU(n * e, d)), "is d_model the first argument of SwiGLU"),
        (shared(lambda d, e, n: nn.Linear(d, n * e / 1)), "A width came as a float"),
        (
            shared(one_by_one, lambda self, x: torch.stack([e(x) for e in self.experts], dim=-2)),
            "Or are the outputs stacked",
        ),
        (shared(whole, lambda self, x: self.experts(x).squeeze()), "size 1 squeezed away?"),
        (shared(whole, lambda self, x: self.experts(x.float())), "Layer and x are float64 here"),
        (shared(TwoLayers), "Is each shared expert a SwiGLU of x itself"),
    ],
)
def test_shared_experts_ask(answer, question):
    assert question in refusal(check_shared_experts, answer)


def outside(x, m):
    """As if the batch were cut in m, and not each token."""
    return x.reshape(m, -1, x.shape[1] // m).transpose(0, 1).reshape(-1, x.shape[1] // m)


def in_memory_order(x, m):
    width = x.shape[1] // m
    return x.as_strided((len(x) * m, width), (width, 1)) if m > 1 else x


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        (lambda x, m: x.chunk(m, dim=1), "Is it the tuple that `chunk`"),
        (lambda x, m: x.reshape(-1, x.shape[2] // m), "which one is asked for?"),
        (lambda x, m: x.reshape(-1, m), "Is a row num_segments wide?"),
        (outside, "Is x read as (T, m, d)"),
        (lambda x, m: x.T.reshape(-1, x.shape[1] // m), "not transposed first?"),
        (in_memory_order, "x is not contiguous: is it read as it is indexed"),
        (lambda x, m: reference.segment_tokens(x.flip(0), m), "Is row t·m + s slice s of token t?"),
    ],
)
def test_segment_tokens_asks(answer, question):
    assert question in refusal(check_segment_tokens, answer)


@pytest.mark.parametrize(
    ("answer", "question"),
    [
        (lambda y, m: y.split(m), "Is it the tuple that `chunk`"),
        (lambda y, m: y.T.reshape(len(y) // m, -1), "Or is y transposed first?"),
        (
            lambda y, m: y.unflatten(0, (-1, m)).transpose(0, 1).reshape(len(y) // m, -1),
            "laid together again without an exchange?",
        ),
        (lambda y, m: reference.merge_segments(y, m).flip(0), "Does token t stand in row t"),
    ],
)
def test_merge_segments_asks(answer, question):
    assert question in refusal(check_merge_segments, answer)


def finer(change):
    """`fine_grained` with another end: `change` gets the three it must return."""
    return lambda *sizes: change(sizes, reference.fine_grained(*sizes))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (finer(lambda old, new: [*new]), "no list or tensor around them?"),
        (finer(lambda old, new: new[:2]), "Are three numbers returned, with commas?"),
        (finer(lambda old, new: (*new[:2], float(new[2]))), "which operator divides whole"),
        (finer(lambda old, new: (new[0], old[3] / old[1], new[2])), "is this what is to be div"),
        (finer(lambda old, new: (new[0], old[1], new[2])), "must be 8, from 2 with m=4, got 2."),
        (
            finer(lambda old, new: (new[0], min(new[1], old[0]), new[2])),
            "Is it cut off at the old number of experts?",
        ),
        (
            finer(lambda old, new: (new[0], min(new[1], new[0] - 1), new[2])),
            "A token took every expert before",
        ),
    ],
)
def test_fine_grained_asks(answer, said):
    assert said in refusal(check_fine_grained, answer)


def test_fine_grained_is_told_that_a_call_is_to_be_accepted():
    def fine_grained(num_experts, top_k, expert_dim, m):
        if num_experts % m:
            raise ValueError(f"m must divide {num_experts}")
        return reference.fine_grained(num_experts, top_k, expert_dim, m)

    assert "so the call is to be accepted" in refusal(check_fine_grained, fine_grained)
