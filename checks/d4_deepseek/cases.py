"""The sizes the checks of D4 run on, and models with every weight drawn anew.

Letters as in `solutions/d4_deepseek.py`.
"""

import random
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from checks.d3_mla.cases import randomise
from checks.grading.result import Built
from checks.grading.strided import strided
from helpers.model.deepseek_config import DeepSeekConfig
from solutions.d3_mla import LatentCache

V3_OPTIONS: dict[str, Any] = {
    "num_experts": 8,
    "top_k": 3,
    "num_groups": 4,
    "top_groups": 2,
    "scale": 2.5,
}
V2_OPTIONS: dict[str, Any] = {"affinity": "softmax", "renormalise": False, "scale": 16.0}


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
    training: bool = True

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        where = f"layer {self.layer}, batch {self.batch}, {self.length} positions, {kind}"
        mode = "" if self.training else ", evaluation mode"
        return f"{where}, {sizes(self.config)}{mode}"

    def mode(self) -> str:
        return f"in {'training' if self.training else 'evaluation'} mode"

    def generator(self, offset: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + offset)

    def x(self, offset: int = 1) -> Tensor:
        """`(B, L, D)`, others for another `offset`; not contiguous where the case says so."""
        shape = self.batch, self.length, self.config.d_model
        x = torch.randn(shape, generator=self.generator(offset), dtype=self.dtype)
        return x if self.contiguous else strided(x)

    def ids(self) -> Tensor:
        """`(B, L)` int64; the first sequence holds the first and the last token."""
        shape = self.batch, self.length
        ids = torch.randint(self.config.vocab_size, shape, generator=self.generator(1))
        ids[0, -1], ids[0, 0] = self.config.vocab_size - 1, 0
        return ids if self.contiguous else strided(ids)

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


def draw_config(rng: random.Random, **kind: Any) -> DeepSeekConfig:
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
    training: bool = True,
    **kind: Any,
) -> Deep:
    """A case of a small configuration; batch and length are drawn too where they are 0."""
    config, seed = draw_config(rng, **kind), rng.randrange(10**6)
    shape = batch or rng.randint(2, 3), length or rng.randint(4, 5)
    return Deep(config, *shape, seed, layer, dtype, contiguous, training)


def randomised(module: Built, case: Deep) -> Built:
    """The module with every weight and every balancing bias drawn anew, in the case's type."""
    generator = case.generator()
    randomise(module, generator)
    spread = 0.3 if case.config.affinity == "sigmoid" else 0.1
    with torch.no_grad():
        for name, value in module.named_buffers():
            if name.endswith("router.bias"):
                value.copy_(spread * torch.randn(value.shape, generator=generator))
        for part in module.modules():
            if isinstance(part, nn.Embedding):
                part.weight.copy_(torch.randn(part.weight.shape, generator=generator))
    return module.to(case.dtype).train(case.training)


def decide_all_choices(module: Built, case: Deep) -> None:
    """Balancing biases that alone choose the experts, so that a small step changes no choice."""
    with torch.no_grad():
        for name, value in module.named_buffers():
            if name.endswith("router.bias"):
                value.copy_(10.0 * 2.0 ** torch.randperm(len(value), generator=case.generator(2)))
