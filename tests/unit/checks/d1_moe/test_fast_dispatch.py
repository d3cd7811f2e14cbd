"""Refusals of the two dispatches over runs ask by the error, and by what its experts make of x."""

import pytest
import torch
from torch.nn import functional as F

from checks.d1_moe.dispatch_slips import index_past_the_end
from checks.grading.result import Asked
from solutions.d1_moe import dispatch_combine
from tests.unit.checks.d1_moe.refusals import refusal


class Way:
    """Experts put together in another way."""

    def __init__(self, array, way):
        self.array, self.way = array, way

    def __len__(self):
        return len(self.array)

    def __getitem__(self, i):
        expert = self.array[i]
        return lambda x: expert.down(self.way(expert.gate(x), expert.up(x)))


@pytest.mark.parametrize(
    ("way", "asked"),
    [
        (lambda gate, up: F.silu(gate * up), "Does silu go over gate(x) alone, before"),
        (lambda gate, up: F.silu(gate) / up, "multiplied before `down`, and not divided?"),
        (lambda gate, up: (F.silu(gate) * up).bfloat16().to(up), "computed in a narrower type"),
    ],
)
def test_what_stands_between_the_products_is_asked_about(way, asked):
    said = refusal("D1.O1", lambda *of: dispatch_combine(*of[:3], Way(of[3], way)))
    assert asked in said and "Or:" not in said


def test_the_largest_gate_alone_is_asked_about():
    def fast_dispatch(x, gates, experts, expert_array):
        best = gates.argmax(1, keepdim=True)
        return dispatch_combine(x, gates.gather(1, best), experts.gather(1, best), expert_array)

    assert "that of its largest gate? All K count." in refusal("D1.O1", fast_dispatch)


def test_an_error_where_an_expert_is_idle_names_it():
    def fast_dispatch(x, gates, experts, expert_array):
        torch.bincount(experts.flatten()) + torch.zeros(len(expert_array))
        return dispatch_combine(x, gates, experts, expert_array)

    assert "Here nobody chose expert" in refusal("D1.O1", fast_dispatch)


@pytest.mark.parametrize(
    ("index", "asked"),
    [
        (lambda x: x.shape[2], "Which dimension is meant?"),
        (lambda x: x.sum(2), "Which dimension is meant?"),
        (lambda x: x[torch.tensor([-9])], "what is taken off it?"),
        (lambda x: x[torch.tensor([9])], "up to T rows. Or: Kept?"),
        (lambda x: x[torch.tensor([0]), torch.tensor([9])], r"one expert may get up to T rows\.$"),
    ],
)
def test_an_index_is_asked_about_by_its_error(index, asked):
    with pytest.raises(Asked, match=asked), index_past_the_end("Kept?", size=5):
        index(torch.zeros(3, 4))


def test_an_index_past_the_experts_is_not_of_weights_that_were_kept():
    with pytest.raises(Asked, match=r"up to T rows\.$"), index_past_the_end("Kept?", size=3):
        torch.zeros(3, 4)[torch.tensor([9])]
