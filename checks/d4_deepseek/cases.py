"""The sizes the checks of D4 run on, models with every weight drawn anew, and their true parts.

Letters as in `solutions/d4_deepseek.py`.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from checks.d3_mla.cases import given_weights, shake
from checks.grading import expect
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.llama import RMSNorm
from solutions.d2_deepseek_moe import DeepSeekMoE
from solutions.d3_mla import LatentCache, MultiHeadLatentAttention

BLOCK_PARTS = ("attention_norm", "attention", "ffn_norm", "ffn")
V3_OPTIONS = {"num_experts": 8, "top_k": 3, "num_groups": 4, "top_groups": 2, "scale": 2.5}
V2_OPTIONS = {"affinity": "softmax", "renormalise": False, "scale": 16.0}


@dataclass(frozen=True)
class Deep:
    """One case: a configuration, the layer a block stands at, and the sizes of its input."""

    config: DeepSeekConfig
    batch: int
    length: int
    seed: int
    layer: int = 0
    dtype: torch.dtype = torch.float64
    contiguous: bool = True

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        where = f"layer {self.layer}, batch {self.batch}, {self.length} positions, {kind}"
        return f"{where}, {sizes(self.config)}"

    def generator(self, offset: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + offset)

    def x(self, offset: int = 1) -> Tensor:
        """`(B, L, D)`, others for another `offset`; not contiguous where the case says so."""
        shape = self.batch, self.length, self.config.d_model
        x = torch.randn(shape, generator=self.generator(offset), dtype=self.dtype)
        return x if self.contiguous else x.transpose(0, 1).contiguous().transpose(0, 1)

    def ids(self) -> Tensor:
        """`(B, L)` int64; the first sequence holds the first and the last token."""
        shape = self.batch, self.length
        ids = torch.randint(self.config.vocab_size, shape, generator=self.generator(1))
        ids[0, -1], ids[0, 0] = self.config.vocab_size - 1, 0
        return ids if self.contiguous else ids.T.contiguous().T

    def cache(self, capacity: int) -> LatentCache:
        """An empty cache of the reference's."""
        return LatentCache(self.batch, capacity, self.config.d_latent, self.config.d_rope)

    def ways(self) -> dict[str, list[int]]:
        """Ways to cut the positions, the whole first."""
        length = self.length
        ways = {"all at once": [length], "one by one": [1] * length}
        if length > 3:
            ways["one, then several, then one"] = [1, length - 2, 1]
        return ways


def sizes(config: DeepSeekConfig) -> str:
    """The configuration's fields in a line, those with a default only where they differ."""
    shown = {f.name: getattr(config, f.name) for f in fields(config)}
    changed = [f"{f.name}={shown[f.name]!r}" for f in fields(config) if shown[f.name] != f.default]
    return ", ".join(changed)


def draw_config(rng: random.Random, **kind: object) -> DeepSeekConfig:
    """A small configuration whose sizes differ where they can; `kind` sets some of them."""
    segments = kind.get("num_segments", 1)
    d_model = segments * rng.choice(
        [width for width in range(4, 14) if 10 <= segments * width < 14]
    )
    experts = kind.get("num_experts") or rng.randint(4, 6)
    widths = [width for width in range(5, 12) if width != d_model]
    d_head, d_value, d_latent, q_latent, expert_dim = rng.sample(widths, 5)
    drawn = {
        "vocab_size": rng.randint(23, 30),
        "num_layers": rng.randint(2, 3),
        "d_model": d_model,
        "num_heads": rng.randint(2, 3),
        "d_head": d_head,
        "d_value": d_value,
        "d_latent": d_latent,
        "d_rope": 4,
        "num_experts": experts,
        "top_k": rng.randint(2, max(2, experts - 2)),
        "expert_dim": expert_dim,
        "num_shared": rng.randint(1, 3),
        "dense_dim": rng.randint(15, 19),
        "q_latent": q_latent if rng.random() < 0.5 else None,
    }
    return DeepSeekConfig(**(drawn | kind))


def draw_case(
    rng: random.Random,
    layer: int = 0,
    *,
    batch: int = 0,
    length: int = 0,
    dtype: torch.dtype = torch.float64,
    contiguous: bool = True,
    **kind: object,
) -> Deep:
    """A case of a small configuration; batch and length are drawn too where they are 0."""
    config, seed = draw_config(rng, **kind), rng.randrange(10**6)
    shape = batch or rng.randint(2, 3), length or rng.randint(4, 5)
    return Deep(config, *shape, seed, layer, dtype, contiguous)


def shaken(module: nn.Module, case: Deep) -> nn.Module:
    """The module with every weight and every balancing bias drawn anew, in the case's type."""
    generator = case.generator()
    shake(module, generator)
    spread = 0.3 if case.config.affinity == "sigmoid" else 0.1
    with torch.no_grad():
        for name, value in module.named_buffers():
            if name.endswith("router.bias"):
                value.copy_(spread * torch.randn(value.shape, generator=generator))
        for part in module.modules():
            if isinstance(part, nn.Embedding):
                part.weight.copy_(torch.randn(part.weight.shape, generator=generator))
    return module.to(case.dtype)


def decide_all_choices(module: nn.Module, case: Deep) -> None:
    """Balancing biases that alone choose the experts, so that a small step changes no choice."""
    with torch.no_grad():
        for name, value in module.named_buffers():
            if name.endswith("router.bias"):
                value.copy_(10.0 * 2.0 ** torch.randperm(len(value), generator=case.generator(2)))


def kept_parts(module: object, name: str, parts: Sequence[str]) -> None:
    """Nothing if `module`, an object of the class `name`, has the parts of its constructor."""
    expect.module(module, name)
    for part in parts:
        expect.that(
            isinstance(getattr(module, part, None), nn.Module),
            f"{name} must keep {part} as the given constructor makes it, "
            f"got {expect.shown(getattr(module, part, None)).replace('None', 'none')}",
        )
    weights = (key for key, _ in module.named_parameters())
    more = next((key for key in weights if key.split(".")[0] not in parts), None)
    expect.that(
        more is None,
        f"{name} must have the weights of the given constructor and no others, got {more} too",
    )


def weight_of(part: nn.Module, name: str, *shape: int) -> None:
    """Nothing if this part holds one weight of this shape, and nothing else."""
    weights = dict(part.named_parameters())
    came = expect.shown(weights.get("weight")).replace("None", "none")
    came = came if len(weights) < 2 else f"the weights {', '.join(weights)}"
    expect.that(
        list(weights) == ["weight"] and weights["weight"].shape == shape,
        f"{name} must hold one weight of shape {shape}, got {came}",
    )


def kept_block(block: nn.Module, config: DeepSeekConfig, layer: int) -> None:
    """Nothing if a block has the parts of the given constructor, in the configuration's sizes."""
    kept_parts(block, "DeepSeekBlock", BLOCK_PARTS)
    weight_of(block.attention_norm, "block.attention_norm", config.d_model)
    weight_of(block.ffn_norm, "block.ffn_norm", config.d_model)
    kept_ffn(block, config, layer)
    attention = MultiHeadLatentAttention(**config.attention())
    shapes = {name: tuple(weight.shape) for name, weight in attention.named_parameters()}
    given_weights(block.attention, "block.attention", shapes)


def kept_ffn(block: nn.Module, config: DeepSeekConfig, layer: int, name: str = "block.ffn") -> None:
    """Nothing if a block's feed-forward part is dense before `dense_layers` and experts after, and
    holds as many numbers as the configuration says.
    """
    is_dense, d_model = layer < config.dense_layers, config.d_model
    has_experts = all(hasattr(block.ffn, part) for part in ("router", "experts", "shared"))
    wanted = "a dense SwiGLU" if is_dense else "a DeepSeekMoE"
    expect.that(
        has_experts != is_dense,
        f"{name} of layer {layer} with dense_layers={config.dense_layers} must be {wanted}, "
        f"got {expect.shown(block.ffn)}",
        "Layers count from 0; the first dense_layers are dense.",
    )
    routed = 3 * config.num_experts * d_model // config.num_segments * config.expert_dim
    shared = 3 * config.num_shared * d_model * config.expert_dim
    wants = {"": 3 * d_model * config.dense_dim} if is_dense else {}
    for part, want in (wants or {".experts": routed, ".shared": shared}).items():
        module = block.ffn.get_submodule(part[1:])
        held = sum(weight.numel() for weight in module.parameters())
        expect.that(held == want, f"{name}{part} must hold {want} weights, got {held}")


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


def true_parts(block: nn.Module, case: Deep) -> Parts:
    """The block's parts as its configuration has them, with the block's own weights."""
    config = case.config
    norms = [true_norm(norm, config) for norm in (block.attention_norm, block.ffn_norm)]
    attention = MultiHeadLatentAttention(**config.attention())
    ffn = _true_moe(block.ffn, config) if hasattr(block.ffn, "router") else block.ffn
    return Parts(norms[0], _with_weights_of(block.attention, attention), norms[1], ffn)


def true_norm(norm: nn.Module, config: DeepSeekConfig) -> nn.Module:
    """RMSNorm with the weight of `norm` and the configuration's epsilon."""
    return _with_weights_of(norm, RMSNorm(config.d_model, config.norm_eps))


def _true_moe(ffn: nn.Module, config: DeepSeekConfig) -> nn.Module:
    """Its router has the configuration's options; experts may be held in any form."""
    made = DeepSeekMoE(**config.experts())
    made.router = _with_weights_of(ffn.router, made.router)
    made.experts, made.shared = ffn.experts, ffn.shared
    return made


def _with_weights_of(part: nn.Module, true: nn.Module) -> nn.Module:
    """`true` with the weights of `part`; `part` itself where those have other names or shapes."""
    held = part.state_dict()
    if {k: v.shape for k, v in held.items()} != {k: v.shape for k, v in true.state_dict().items()}:
        return part
    true.to(next(iter(held.values())).dtype).load_state_dict(held)
    return true


def silence(part: nn.Module) -> None:
    """Zeros in the last weights of an attention or a feed-forward part, so that it gives zeros."""
    with torch.no_grad():
        for weight in _last_weights(part):
            weight.zero_()


def _last_weights(part: nn.Module) -> Iterator[Tensor]:
    if hasattr(part, "router"):
        yield from part.experts.parameters()
        yield from part.shared.parameters()
    else:
        yield (part.out if hasattr(part, "out") else part.down).weight


def weights_of(block: nn.Module, name: str) -> dict[str, list[Tensor]]:
    """The weights of each part of a block, its feed-forward part's in pieces."""
    parts = {part: getattr(block, part) for part in ("attention_norm", "attention", "ffn_norm")}
    pieces = ("router", "experts", "shared") if hasattr(block.ffn, "router") else ("down",)
    parts |= {f"ffn.{piece}": getattr(block.ffn, piece) for piece in pieces}
    return {f"the weights of {name}.{part}": [*parts[part].parameters()] for part in parts}


def gradients_reach(
    loss: Callable[[], Tensor],
    groups: Mapping[str, Sequence[Tensor]],
    generator: torch.Generator,
) -> None:
    """Nothing if autograd agrees with moving all float64 leaves of a group a little at once.

    A smaller step than that of `expect.gradient`: several layers bend more than one.
    """
    value = loss()
    detached = "Is there a `detach`, `.data`, `.item()` or `no_grad` on the way?"
    expect.that(value.requires_grad, "no gradient leaves your code at all", detached)
    leaves = [leaf for group in groups.values() for leaf in group]
    found = zip(leaves, torch.autograd.grad(value, leaves, allow_unused=True), strict=True)
    grads = {leaf: grad for leaf, grad in found if grad is not None}
    for name, group in groups.items():
        way = [torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in group]
        known = [(grads[p] * w).sum() for p, w in zip(group, way, strict=True) if p in grads]
        slope, known = _slope(loss, group, way), float(sum(known))
        expect.that(
            abs(slope - known) <= 1e-4 * max(abs(slope), abs(known), 0.01),
            f"the gradient for {name} must be {slope:.3g} along a random direction, "
            f"got {known:.3g}",
            "Is part of the way to it detached, or rebuilt from plain numbers?",
        )


def _slope(
    loss: Callable[[], Tensor], leaves: Sequence[Tensor], way: Sequence[Tensor], step: float = 1e-5
) -> float:
    kept, values = [leaf.detach().clone() for leaf in leaves], []
    with torch.no_grad():
        for move in (step, -step, 0.0):
            for leaf, old, direction in zip(leaves, kept, way, strict=True):
                leaf.copy_(old + move * direction)
            values.append(float(loss()) if move else 0.0)
    return (values[0] - values[1]) / (2 * step)


def held(module: nn.Module) -> dict[str, Tensor]:
    """What the module saves, but for the choices its layers of experts remember."""
    return {name: v for name, v in module.state_dict().items() if "last_experts" not in name}


def expect_grown(cache: LatentCache, name: str, before: int, length: int, ask: str) -> None:
    """Nothing if the cache, which held `before` positions, holds `length` more."""
    expect.that(
        len(cache) == before + length,
        f"{name}, which held {before} positions, must hold {before + length} after {length} more, "
        f"got {len(cache)}",
        ask,
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
    """Nothing if no part was called more often than once."""
    for name, count in counts.items():
        expect.that(
            count <= 1,
            f"{name} must be called once, and it was called {count} times",
            "Does one call get the whole batch with all positions, and is what it gave kept?",
        )


def rows_close(
    got: Tensor, want: Tensor, name: str, *, when: str = "", slips: Mapping | None = None
) -> None:
    """`expect.close` for `(B, L, width)`; tokens are numbered over positions, then the batch."""
    flat = {ask: lambda made=made: made().flatten(0, 1) for ask, made in (slips or {}).items()}
    expect.close(got.flatten(0, 1), want.flatten(0, 1), name, when=when, slips=flat)
