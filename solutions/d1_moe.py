"""D1, the reference: a Mixture of Experts layer as Mixtral has it.

Letters: B batch, L positions, T = B·L tokens, D = d_model, E = num_experts, K = top_k.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers.model.interfaces import ExpertList
from helpers.model.llama import SwiGLU


class TopKRouter(nn.Module):
    """Chooses each token's `top_k` experts, int64, and how much each counts.

    The gates of a token are its chosen probabilities divided by their sum (arXiv 2401.04088,
    section 2.1); they have the dtype of `x`. `top_k` keeps the number; `gate` is the one linear
    map from `d_model` to `num_experts` logits, without bias.
    """

    def __init__(self, d_model: int, num_experts: int, top_k: int):
        super().__init__()
        if not 1 <= top_k <= num_experts:
            raise ValueError(f"top_k must be between 1 and num_experts={num_experts}, got {top_k}")
        # BEGIN SOLUTION
        self.top_k = top_k
        self.gate = nn.Linear(d_model, num_experts, bias=False)
        # END SOLUTION

    def forward(self, x: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T K"], Int[Tensor, "T K"]]:
        # BEGIN SOLUTION
        probs = self.gate(x).softmax(dim=-1)  # (T, E)
        gates, experts = probs.topk(self.top_k, dim=-1)
        gates = gates / gates.sum(dim=-1, keepdim=True)
        return gates, experts
        # END SOLUTION


class ExpertArray(nn.Module):
    """`num_experts` SwiGLU networks that share no weight; `array[i](x)`: `(n, D)` → `(n, D)`.

    They stand in `experts`, PyTorch knows of every weight, and each starts from random numbers of
    its own.
    """

    def __init__(self, d_model: int, expert_dim: int, num_experts: int):
        super().__init__()
        # BEGIN SOLUTION
        self.experts = nn.ModuleList(SwiGLU(d_model, expert_dim) for _ in range(num_experts))
        # END SOLUTION

    def __len__(self) -> int:
        return len(self.experts)

    def __getitem__(self, i: int) -> nn.Module:
        return self.experts[i]


def dispatch_combine(
    x: Float[Tensor, "T D"],
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    expert_array: ExpertList,
) -> Float[Tensor, "T D"]:
    """Each token's sum of `gate · expert(token)` over its experts (arXiv 2401.04088, section 2.1).

    An expert sees only the tokens that chose it, and one call per expert is enough.
    """
    # BEGIN SOLUTION
    y = torch.zeros_like(x)
    for i in experts.unique().tolist():
        token, slot = torch.where(experts == i)  # (n,), (n,)
        out = expert_array[i](x[token])  # (n, D)
        y.index_add_(0, token, gates[token, slot, None] * out)
    return y
    # END SOLUTION


def expert_load(experts: Int[Tensor, "T K"], num_experts: int) -> Int[Tensor, " E"]:
    """How many times each expert was chosen, int64, with 0 for an expert that no token chose."""
    # BEGIN SOLUTION
    return torch.bincount(experts.flatten(), minlength=num_experts)
    # END SOLUTION


def load_cv(load: Int[Tensor, " E"]) -> float:
    """The coefficient of variation: population standard deviation over mean.

    0.0 for no load at all.
    """
    # BEGIN SOLUTION
    load = load.cpu().double()  # not every device has float64
    if load.sum() == 0:
        return 0.0
    return float(load.std(correction=0) / load.mean())
    # END SOLUTION


def max_violation(load: Int[Tensor, " E"]) -> float:
    """How far the busiest expert is above the mean, over the mean (arXiv 2408.15664, eq. 4).

    0.0 for no load at all.
    """
    # BEGIN SOLUTION
    load = load.cpu().double()  # not every device has float64
    if load.sum() == 0:
        return 0.0
    return float(load.max() / load.mean() - 1)
    # END SOLUTION


class MoELayer(nn.Module):
    """A feed-forward layer in which each token passes through `top_k` of `num_experts` experts.

    `.last_experts` holds the `(T, K)` choices of the last forward pass, int64, in every mode.
    """

    def __init__(self, d_model: int, num_experts: int, top_k: int, expert_dim: int):
        super().__init__()
        self.router = TopKRouter(d_model, num_experts, top_k)
        self.experts = ExpertArray(d_model, expert_dim, num_experts)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        # BEGIN SOLUTION
        tokens = x.reshape(-1, x.shape[-1])  # (T, D)
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)
        # END SOLUTION


def sorted_dispatch(
    x: Float[Tensor, "T D"],
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    expert_array: ExpertList,
) -> Float[Tensor, "T D"]:
    """The same as `dispatch_combine`, by one sort: each expert reads one contiguous run of rows."""
    # BEGIN SOLUTION
    order = experts.flatten().argsort(stable=True)  # (T·K,), choice c belongs to token c // K
    token = order // experts.shape[1]
    runs = x[token].split(expert_load(experts, len(expert_array)).tolist())
    out = torch.cat([expert_array[i](rows) for i, rows in enumerate(runs) if len(rows)])
    weighted = gates.flatten()[order, None] * out  # (T·K, D)
    return torch.zeros_like(x).index_add(0, token, weighted)
    # END SOLUTION


def dropped_share(experts: Int[Tensor, "T K"], num_experts: int, capacity_factor: float) -> float:
    """The share of the T·K choices that find their expert full (arXiv 2101.03961, eq. 3).

    An expert takes at most `capacity_factor` times its even share of rows, rounded down.
    """
    # BEGIN SOLUTION
    load = expert_load(experts, num_experts)
    capacity = int(capacity_factor * experts.numel() / num_experts)
    return float((load - capacity).clamp(min=0).sum() / experts.numel())
    # END SOLUTION
