"""The parts of a model of D4: those an answer must keep, and what they must compute.

Letters as in `solutions/d4_deepseek.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from checks.d3_mla.cases import given_weights
from checks.d4_deepseek.cases import Deep
from checks.grading import expect
from checks.grading.result import Built
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.llama import RMSNorm
from solutions.d2_deepseek_moe import DeepSeekMoE
from solutions.d3_mla import LatentCache, MultiHeadLatentAttention

BLOCK_PARTS = ("attention_norm", "attention", "ffn_norm", "ffn")


def kept_parts(module: Built, name: str, parts: Sequence[str]) -> None:
    """Raise Wrong unless `module`, an object of the class `name`, has its constructor's parts, and
    all of them learn.
    """
    expect.module(module, name)
    for part in parts:
        expect.require(
            isinstance(getattr(module, part, None), nn.Module),
            f"{name} must keep {part} as the lesson's constructor makes it, "
            f"got {expect.shown(getattr(module, part, None)).replace('None', 'none')}",
            f"Is it made in __init__, as self.{part}?",
        )
    weights = (key for key, _ in module.named_parameters())
    more = next((key for key in weights if key.split(".")[0] not in parts), None)
    expect.require(
        more is None,
        f"{name} must have the weights that the lesson names and no others, got {more} too",
    )
    frozen = (key for key, weight in module.named_parameters() if not weight.requires_grad)
    still = next(frozen, None)
    expect.require(
        still is None,
        f"all weights of {name} must learn, and {still} requires no gradient",
        "Is there a `requires_grad_(False)`?",
    )


def weight_of(part: Built, name: str, *shape: int) -> None:
    """Raise Wrong unless this part has one weight, of this shape, and no other."""
    weights = dict(part.named_parameters())
    came = expect.shown(weights.get("weight")).replace("None", "none")
    came = came if len(weights) < 2 else f"the weights {', '.join(weights)}"
    expect.require(
        list(weights) == ["weight"] and weights["weight"].shape == shape,
        f"{name} must hold one weight of shape {shape}, got {came}",
        "Are its sizes the lesson's, and has it no bias?",
    )


def kept_block(block: Built, config: DeepSeekConfig, layer: int) -> None:
    """Raise Wrong unless a block has the lesson's parts, in the configured sizes."""
    kept_parts(block, "DeepSeekBlock", BLOCK_PARTS)
    weight_of(block.attention_norm, "block.attention_norm", config.d_model)
    weight_of(block.ffn_norm, "block.ffn_norm", config.d_model)
    kept_ffn(block, config, layer)
    attention = MultiHeadLatentAttention(**config.attention())
    shapes = {name: tuple(weight.shape) for name, weight in attention.named_parameters()}
    given_weights(block.attention, "block.attention", shapes)


def kept_ffn(
    block: Built,
    config: DeepSeekConfig,
    layer: int,
    name: str = "block.ffn",
    ask: str = "Is a layer dense where its number, counted from 0, is below dense_layers, and only "
    "there?",
) -> None:
    """Raise Wrong unless a block's feed-forward part is dense before `dense_layers` and has experts
    from there on, with as many weights as the configuration says.

    `ask` is the question about one that is of the other kind.
    """
    is_dense, d_model = layer < config.dense_layers, config.d_model
    has_experts = all(hasattr(block.ffn, part) for part in ("router", "experts", "shared"))
    wanted = "a dense SwiGLU" if is_dense else "a DeepSeekMoE"
    expect.require(
        has_experts != is_dense,
        f"{name} of layer {layer} with dense_layers={config.dense_layers} must be {wanted}, "
        f"got {expect.shown(block.ffn)}",
        ask,
    )
    routed = 3 * config.num_experts * d_model // config.num_segments * config.expert_dim
    shared = 3 * config.num_shared * d_model * config.expert_dim
    wants = {"": 3 * d_model * config.dense_dim} if is_dense else {}
    for part, want in (wants or {".experts": routed, ".shared": shared}).items():
        module = block.ffn.get_submodule(part[1:])
        held = sum(weight.numel() for weight in module.parameters())
        expect.require(
            held == want,
            f"{name}{part} must hold {want} weights, got {held}",
            f"Is the SwiGLU of a dense layer as wide as config.dense_dim={config.dense_dim}?"
            if is_dense
            else "Is it the DeepSeekMoE of config.experts()?",
        )


Part = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Parts:
    """What a block is made of, each a function `(B, L, D)` → `(B, L, D)`."""

    attention_norm: Part
    attention: Part
    ffn_norm: Part
    ffn: Part

    def __call__(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


def true_parts(block: Built, case: Deep) -> Parts:
    """The block's parts as its configuration has them, with the block's own weights."""
    config = case.config
    norms = [true_norm(norm, config) for norm in (block.attention_norm, block.ffn_norm)]
    attention = MultiHeadLatentAttention(**config.attention())
    ffn = _true_moe(block.ffn, config) if hasattr(block.ffn, "router") else block.ffn
    return Parts(norms[0], _with_weights_of(block.attention, attention), norms[1], ffn)


def true_norm(norm: Built, config: DeepSeekConfig) -> Built:
    """RMSNorm with the weight of `norm` and the configuration's epsilon."""
    return _with_weights_of(norm, RMSNorm(config.d_model, config.norm_eps))


def _true_moe(ffn: Built, config: DeepSeekConfig) -> Built:
    """Its router has the configuration's options; experts may be held in any form."""
    made = DeepSeekMoE(**config.experts())
    made.router = _with_weights_of(ffn.router, made.router)
    made.experts, made.shared = ffn.experts, ffn.shared
    return made


def _with_weights_of(part: Built, true: Built) -> Built:
    """`true` with the weights of `part`; `part` itself where those have other names or shapes."""
    held = part.state_dict()
    if {k: v.shape for k, v in held.items()} != {k: v.shape for k, v in true.state_dict().items()}:
        return part
    true.to(next(iter(held.values())).dtype).load_state_dict(held)
    return true


def silence(part: Built) -> None:
    """Set the last weights of an attention or a feed-forward part to 0: it then returns zeros."""
    with torch.no_grad():
        for weight in _last_weights(part):
            weight.zero_()


def _last_weights(part: Built) -> Iterator[Tensor]:
    if hasattr(part, "router"):
        yield from part.experts.parameters()
        yield from part.shared.parameters()
    else:
        yield (part.out if hasattr(part, "out") else part.down).weight


def weights_of(block: Built, name: str) -> dict[str, list[Tensor]]:
    """The weights of each part of a block, its feed-forward part's in pieces."""
    parts = {part: getattr(block, part) for part in ("attention_norm", "attention", "ffn_norm")}
    pieces = ("router", "experts", "shared") if hasattr(block.ffn, "router") else ("down",)
    parts |= {f"ffn.{piece}": getattr(block.ffn, piece) for piece in pieces}
    return {f"the weights of {name}.{part}": [*parts[part].parameters()] for part in parts}


def expect_grown(
    cache: LatentCache, name: str, before: int, length: int, ask: str, when: str = ""
) -> None:
    """Raise Wrong unless the cache, which held `before` positions, now holds `length` more."""
    expect.require(
        len(cache) == before + length,
        f"{name}, which held {before} positions, must hold {before + length} after {length} more"
        f"{when and f' {when}'}, got {len(cache)}",
        ask,
    )


THROWN_AWAY = "Is what it held thrown away? Each call adds to it, also one of several positions."


def expect_same_again(call: Callable[[], Tensor], given: str, case: Deep) -> None:
    """Raise Wrong unless two calls return the same."""
    expect.require(
        expect.near(call(), call()),
        f"two calls with the same {given} must return the same, and {case.mode()} they do not",
        "Is something drawn at random, such as dropout, or kept from the call before?",
    )


def expect_learned_tokens(embed: Built, output: Tensor, ids: Tensor) -> None:
    """Raise Wrong if the output has a gradient for the embedding of some of the ids alone."""
    if not output.requires_grad or not embed.weight.requires_grad:
        return
    (grad,) = torch.autograd.grad(output.square().sum(), embed.weight, allow_unused=True)
    still = [] if grad is None else [i for i in ids.unique().tolist() if not grad[i].any()]
    expect.require(
        not still or not grad.any(),
        f"the gradient for the embedding of token {max(still, default=0)} must not be 0, and it is",
        "Does one token's row not learn (`padding_idx`)?",
    )


@contextmanager
def calls_counted(parts: Mapping[str, nn.Module]) -> Iterator[dict[str, int]]:
    """How often each named part is called within it."""
    counts = dict.fromkeys(parts, 0)

    def counting(name: str) -> Callable:
        def count(*_: object) -> None:
            counts[name] += 1

        return count

    hooks = [part.register_forward_pre_hook(counting(name)) for name, part in parts.items()]
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()


def called_once(counts: Mapping[str, int]) -> None:
    """Raise Wrong unless every part was called at most once."""
    for name, count in counts.items():
        expect.require(
            count <= 1,
            f"{name} must be called once, and it was called {count} times",
            "Does one call get the whole batch with all positions, and does it stand in for no "
            "other part?",
        )
