"""A layer of experts laid out otherwise: fused tensors and lists, graded by what they compute."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks import CheckFailed
from checks.d1_moe.layer import check_moe_layer


class Fused(nn.Module):
    """Three-dimensional weights, every expert by einsum, the others with a gate of zero."""

    def __init__(self, d_model: int, num_experts: int, top_k: int, expert_dim: int):
        super().__init__()
        self.top_k = top_k
        self.route = nn.Parameter(torch.randn(d_model, num_experts) / d_model**0.5)
        self.w1 = nn.Parameter(torch.randn(num_experts, d_model, expert_dim) / d_model**0.5)
        self.w3 = nn.Parameter(torch.randn(num_experts, d_model, expert_dim) / d_model**0.5)
        self.w2 = nn.Parameter(torch.randn(num_experts, expert_dim, d_model) / expert_dim**0.5)

    def gates(self, probs: Tensor) -> Tensor:
        return probs / probs.sum(-1, keepdim=True)

    def activation(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        probs = (tokens @ self.route).softmax(-1)
        chosen, self.last_experts = probs.topk(self.top_k)
        weights = torch.zeros_like(probs).scatter(1, self.last_experts, self.gates(chosen))
        hidden = self.activation(torch.einsum("td,edf->tef", tokens, self.w1))
        hidden = hidden * torch.einsum("td,edf->tef", tokens, self.w3)
        return torch.einsum("tef,efd,te->td", hidden, self.w2, weights).reshape(x.shape)


class GateAndUpInOne(nn.Module):
    """`gate` and `up` in one tensor, as transformers has them."""

    def __init__(self, d_model: int, num_experts: int, top_k: int, expert_dim: int):
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)
        self.both = nn.Parameter(torch.randn(num_experts, 2 * expert_dim, d_model) / d_model**0.5)
        self.down = nn.Parameter(torch.randn(num_experts, d_model, expert_dim) / expert_dim**0.5)

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1)
        logits, self.last_experts = self.gate(tokens).topk(self.top_k)
        gates, y = logits.softmax(-1), torch.zeros_like(tokens)
        for i in range(len(self.both)):
            token, slot = (self.last_experts == i).nonzero(as_tuple=True)
            gate, up = (tokens[token] @ self.both[i].T).chunk(2, dim=-1)
            out = (F.silu(gate) * up) @ self.down[i].T
            y = y.index_add(0, token, gates[token, slot, None] * out)
        return y.reshape(x.shape)


class ThreeLists(nn.Module):
    """A list of matrices for each of gate, up and down."""

    def __init__(self, d_model: int, num_experts: int, top_k: int, expert_dim: int):
        super().__init__()
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)
        sizes = (d_model, expert_dim), (d_model, expert_dim), (expert_dim, d_model)
        self.a, self.b, self.c = (
            nn.ModuleList(nn.Linear(*size, bias=False) for _ in range(num_experts))
            for size in sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(0, 1)
        logits, self.last_experts = self.gate(tokens).topk(self.top_k)
        gates, y = logits.softmax(-1), torch.zeros_like(tokens)
        for i, (a, b, c) in enumerate(zip(self.a, self.b, self.c, strict=True)):
            token, slot = (self.last_experts == i).nonzero(as_tuple=True)
            out = c(F.silu(a(tokens[token])) * b(tokens[token]))
            y = y.index_add(0, token, gates[token, slot, None] * out)
        return y.reshape(x.shape)


class NotRenormalised(Fused):
    def gates(self, probs: Tensor) -> Tensor:
        return probs


class EqualGates(Fused):
    def gates(self, probs: Tensor) -> Tensor:
        return torch.full_like(probs, 1 / probs.shape[-1])


class Relu(Fused):
    def activation(self, x: Tensor) -> Tensor:
        return F.relu(x)


class TooWide(Fused):
    def __init__(self, d_model: int, num_experts: int, top_k: int, expert_dim: int):
        super().__init__(d_model, num_experts, top_k, 2 * expert_dim)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layer", [Fused, GateAndUpInOne, ThreeLists])
def test_a_right_layer_in_another_layout_passes(layer: type, seed: int) -> None:
    assert check_moe_layer(layer, seed=seed).passed


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("layer", [NotRenormalised, EqualGates, Relu, TooWide])
def test_a_wrong_one_does_not(layer: type, seed: int) -> None:
    with pytest.raises(CheckFailed) as failed:
        check_moe_layer(layer, seed=seed)
    assert failed.value.state == "wrong"
