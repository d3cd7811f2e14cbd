"""D2, the reference: what DeepSeek adds to a Mixture of Experts, and what the plan says it adds.

Letters: B batch, L positions, T = B·L tokens, D = d_model, E = num_experts, K = top_k,
m = num_segments, R = T·m rows.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from helpers.model.llama import SwiGLU
from helpers.model.router_options import validate_router
from solutions.d1_moe import ExpertArray, dispatch_combine, expert_load


class SharedExperts(nn.Module):
    """`num_shared` SwiGLU experts that every token passes through, their outputs summed.

    They share no weight and start from different numbers; `experts` computes the sum. Takes any
    leading dimensions (arXiv 2401.06066, eq. 9).
    """

    def __init__(self, d_model: int, expert_dim: int, num_shared: int):
        super().__init__()
        # BEGIN SOLUTION
        self.experts = SwiGLU(d_model, num_shared * expert_dim)
        # END SOLUTION

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        return self.experts(x)


def segment_tokens(x: Float[Tensor, "T D"], num_segments: int) -> Float[Tensor, "R d"]:
    """Each token cut into `num_segments` contiguous slices: row t·m + s is slice s of token t.

    The plan's segmentation; its closest published relative is MH-MoE (arXiv 2404.15045).
    """
    if num_segments < 1 or x.shape[1] % num_segments:
        raise ValueError(f"num_segments must divide the width {x.shape[1]}, got {num_segments}")
    # BEGIN SOLUTION
    return x.reshape(-1, x.shape[1] // num_segments)
    # END SOLUTION


def merge_segments(y: Float[Tensor, "R d"], num_segments: int) -> Float[Tensor, "T D"]:
    """The inverse of `segment_tokens`: the slices of each token side by side again."""
    if num_segments < 1 or y.shape[0] % num_segments:
        raise ValueError(f"num_segments must divide the {y.shape[0]} rows, got {num_segments}")
    # BEGIN SOLUTION
    return y.reshape(-1, y.shape[1] * num_segments)
    # END SOLUTION


def fine_grained(num_experts: int, top_k: int, expert_dim: int, m: int) -> tuple[int, int, int]:
    """DeepSeekMoE's segmentation: the new (num_experts, top_k, expert_dim) after cutting each
    expert in m (arXiv 2401.06066, section 3.1). Parameters and FLOPs stay what they were.
    """
    if m < 1 or expert_dim % m:
        raise ValueError(f"m must divide expert_dim={expert_dim}, got {m}")
    # BEGIN SOLUTION
    return m * num_experts, m * top_k, expert_dim // m
    # END SOLUTION


def keep_top_groups(
    scores: Float[Tensor, "T E"], num_groups: int, top_groups: int
) -> Float[Tensor, "T E"]:
    """`scores` with -inf outside each token's `top_groups` best groups of neighbouring experts.

    A group's score is the sum of its two highest scores (arXiv 2412.19437, section 2.1.2).
    """
    validate_router(scores.shape[1], 1, "sigmoid", num_groups, top_groups)
    # BEGIN SOLUTION
    groups = scores.unflatten(1, (num_groups, -1))  # (T, G, E/G)
    strength = groups.topk(2, dim=-1).values.sum(dim=-1)  # (T, G)
    kept = strength.topk(top_groups, dim=-1).indices
    dropped = torch.ones_like(strength, dtype=torch.bool).scatter(1, kept, False)
    return groups.masked_fill(dropped[..., None], -torch.inf).flatten(1)
    # END SOLUTION


class BiasedRouter(nn.Module):
    """DeepSeek-V3's router: `bias` steers which experts are chosen and never enters a gate.

    Called like `TopKRouter`; with `renormalise` the gates sum to `scale` (arXiv 2412.19437,
    eqs. 12-16; the scale stands in the configuration only), also for `top_k` = 1. Where x is
    narrower than float32, affinities, bias and choice are float32 (float32 and float64 stay), and
    gates return in the type of x, finite even where all affinities of a token underflow to 0.

    `bias` is a buffer: it has no gradient, is moved by `update_bias`, and stays float32 when the
    model is made narrower.
    """

    bias: Tensor

    def __init__(
        self,
        d_model: int,
        num_experts: int,
        top_k: int,
        *,
        affinity: str = "sigmoid",
        renormalise: bool = True,
        scale: float = 1.0,
        num_groups: int = 1,
        top_groups: int = 1,
    ):
        super().__init__()
        validate_router(num_experts, top_k, affinity, num_groups, top_groups)
        self.top_k, self.affinity, self.renormalise = top_k, affinity, renormalise
        self.scale, self.num_groups, self.top_groups = scale, num_groups, top_groups
        self.gate = nn.Linear(d_model, num_experts, bias=False)
        self.register_buffer("bias", torch.zeros(num_experts))

    def forward(self, x: Float[Tensor, "T D"]) -> tuple[Float[Tensor, "T K"], Int[Tensor, "T K"]]:
        # BEGIN SOLUTION
        wide = torch.promote_types(x.dtype, torch.float32)
        logits = x.to(wide) @ self.gate.weight.to(wide).T
        scores = logits.sigmoid() if self.affinity == "sigmoid" else logits.softmax(dim=-1)
        biased = scores.detach() + self.bias  # (T, E)
        if self.num_groups > 1:
            biased = keep_top_groups(biased, self.num_groups, self.top_groups)
        experts = biased.topk(self.top_k, dim=-1).indices
        gates = scores.gather(1, experts)
        if self.renormalise:
            total = gates.sum(dim=-1, keepdim=True)
            gates = gates / total.clamp(min=torch.finfo(total.dtype).tiny)
        return (self.scale * gates).to(x.dtype), experts
        # END SOLUTION

    def _apply(self, fn: Any, recurse: bool = True) -> "BiasedRouter":
        """Moves and casts as `.to()` asks, but for a bias narrower than float32."""
        bias = self.bias
        super()._apply(fn, recurse)
        if self.bias.dtype.itemsize < torch.float32.itemsize:
            self.bias = bias.to(self.bias.device)
        return self

    @classmethod
    def from_hf(cls, router: Any) -> "BiasedRouter":
        """The same router as transformers' `DeepseekV3TopkRouter`: weights, bias and groups."""
        num_experts, d_model = router.weight.shape
        made = cls(
            d_model,
            num_experts,
            router.top_k,
            renormalise=router.norm_topk_prob,
            scale=router.routed_scaling_factor,
            num_groups=router.num_group,
            top_groups=router.topk_group,
        ).to(router.weight)
        made.gate.weight.data.copy_(router.weight)
        made.bias.copy_(router.e_score_correction_bias)
        return made


def update_bias(
    bias: Float[Tensor, " E"], load: Int[Tensor, " E"], step: float
) -> Float[Tensor, " E"]:
    """The new bias: `step` higher where the load is under the mean, `step` lower where it is over.

    At the mean it stays, so with no load at all it stays everywhere. It has the type of `bias`,
    float32 or float64; the old one is left as it is. One step per batch, with the load of the whole
    batch (arXiv 2408.15664, algorithm 1). The sum of the biases is free to drift: only their
    differences choose.
    """
    # BEGIN SOLUTION
    missing = load.sum() - len(load) * load  # E times what an expert has too few, exact
    return bias + step * missing.sign().to(bias.dtype)
    # END SOLUTION


class DeepSeekMoE(nn.Module):
    """DeepSeek-V3's feed-forward layer: shared experts plus `top_k` of `num_experts` routed ones.

    With `num_segments` above 1 the routed experts see slices of width D/m and the shared ones the
    whole token. `.last_experts` holds the `(T·m, K)` choices of the last forward pass.
    """

    def __init__(
        self,
        d_model: int,
        num_experts: int,
        top_k: int,
        expert_dim: int,
        num_shared: int,
        *,
        num_segments: int = 1,
        affinity: str = "sigmoid",
        renormalise: bool = True,
        scale: float = 1.0,
        num_groups: int = 1,
        top_groups: int = 1,
    ):
        super().__init__()
        if num_segments < 1 or d_model % num_segments:
            raise ValueError(f"num_segments must divide d_model={d_model}, got {num_segments}")
        self.num_segments, width = num_segments, d_model // num_segments
        self.router = BiasedRouter(
            width,
            num_experts,
            top_k,
            affinity=affinity,
            renormalise=renormalise,
            scale=scale,
            num_groups=num_groups,
            top_groups=top_groups,
        )
        self.experts = ExpertArray(width, expert_dim, num_experts)
        self.shared = SharedExperts(d_model, expert_dim, num_shared)

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        # BEGIN SOLUTION
        tokens = x.reshape(-1, x.shape[-1])  # (T, D)
        rows = segment_tokens(tokens, self.num_segments)  # (T·m, D/m)
        gates, self.last_experts = self.router(rows)
        routed = dispatch_combine(rows, gates, self.last_experts, self.experts)
        y = merge_segments(routed, self.num_segments) + self.shared(tokens)
        return y.reshape(x.shape)
        # END SOLUTION


def rebalance(layer: DeepSeekMoE, real: Bool[Tensor, "B L"], step: float) -> Int[Tensor, " E"]:
    """Moves `layer.router.bias` one step by the load of the last batch, and returns that load.

    Only tokens marked in `real` count: padding is routed too, and must not steer. The bias stays
    the router's buffer. Called once per batch, after the optimiser.
    """
    # BEGIN SOLUTION
    rows = real.reshape(-1).repeat_interleave(layer.num_segments)  # (T·m,)
    bias = layer.router.bias
    load = expert_load(layer.last_experts[rows], len(bias))
    bias.copy_(update_bias(bias, load, step))
    return load
    # END SOLUTION


def control_bias(affinity: Float[Tensor, "S T E"], top_k: int, step: float) -> Float[Tensor, "S E"]:
    """The bias after each of S batches of fixed affinities, starting from zero.

    Each batch is routed with the bias that the batches before it left: its own load comes too
    late for it (arXiv 2408.15664, section 3).
    """
    # BEGIN SOLUTION
    bias, path = torch.zeros_like(affinity[0, 0]), []
    for scores in affinity:
        experts = (scores + bias).topk(top_k, dim=-1).indices
        bias = update_bias(bias, expert_load(experts, len(bias)), step)
        path.append(bias)
    return torch.stack(path)
    # END SOLUTION


def most_experts(top_k: int, tokens: int, limit: float) -> int:
    """The most experts for which pure chance alone keeps the CV at or below `limit`.

    With uniform random routing the mean of CV² is `(E - K) / (K · T)`; its root is the CV meant.
    """
    # BEGIN SOLUTION
    return int(top_k + limit**2 * top_k * tokens)
    # END SOLUTION
