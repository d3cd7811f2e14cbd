"""What the check of training runs on: small models with layers of experts, batches with padding,
and the slow training that answers are held against.

Letters: B rows, N tokens of a row, E experts.
"""

import functools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from checks.d2_deepseek_moe.balancing.rebalance import bias_of, moved
from checks.d3_mla.cases import randomise
from checks.grading.result import Built
from helpers.measuring.traffic import layers_of
from helpers.model.llama import RMSNorm, SwiGLU
from solutions.d2_deepseek_moe import DeepSeekMoE

GENTLE, STEEP = 0.15, 30.0  # what logits are multiplied by: gradients of norm under 1, and over it
STEPS = (0.04, 0.01, 0.0, 0.17)  # of the bias, while each batch is used; the last after them all

Batch = tuple[Tensor, Tensor]
Make = Callable[[list[nn.Parameter]], torch.optim.Optimizer]
Gradients = list[Tensor]


class Watched(nn.Module):
    """Takes ids as DeepSeek does, has its layers of experts, and keeps in `fed` what went in."""

    def __init__(self, vocab: int, layers: Sequence[nn.Module], width: int, sharp: float):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.blocks = nn.ModuleList(_Block(width, ffn) for ffn in layers)
        self.norm = RMSNorm(width)
        self.head = nn.Linear(width, vocab, bias=False)
        self.sharp = sharp
        self.fed: list[Tensor] = []

    def forward(self, ids: Tensor, caches: None = None) -> Tensor:
        self.fed.append(ids.clone())
        x = self.embed(ids)
        places = torch.arange(1, x.shape[1] + 1, dtype=x.dtype)[:, None]
        x = x + 0.5 * x.cumsum(1) / places  # every position knows those before it
        for block in self.blocks:
            x = block(x)
        return self.sharp * self.head(self.norm(x))

    def biases(self) -> list[Tensor]:
        """Of each layer of experts, as they are now."""
        return [bias_of(layer).clone() for layer in layers_of(self)]


class _Block(nn.Module):
    def __init__(self, width: int, ffn: Built):
        super().__init__()
        self.norm, self.ffn = RMSNorm(width), ffn

    def forward(self, x: Tensor) -> Tensor:
        return x + self.ffn(self.norm(x))


@dataclass(frozen=True)
class Training:
    """One case: a model whose layers have so many experts (0: dense), and three batches."""

    experts: tuple[int, ...]
    rows: int
    length: int
    seed: int
    num_segments: int = 1
    holes: bool = False

    def __str__(self) -> str:
        kinds = ", ".join(f"{n} experts" if n else "dense" for n in self.experts)
        shapes = [tuple(ids.shape) for ids, _ in self.batches()]
        return f"layers: {kinds}, num_segments={self.num_segments}, batches of shapes {shapes}"

    def model(self, sharp: float) -> Watched:
        """The same weights each time, float64; biases of 0."""
        layers = [
            DeepSeekMoE(8, n, 2, 3, 1, num_segments=self.num_segments) if n else SwiGLU(8, 5)
            for n in self.experts
        ]
        model = Watched(17, layers, 8, sharp).double()
        randomise(model, torch.Generator().manual_seed(self.seed))
        return model

    def batches(self) -> list[Batch]:
        """Three, of different shapes: ids and which are real; id 1 begins a row, and is padding."""
        generator = torch.Generator().manual_seed(self.seed)
        sizes = [(self.rows + more, self.length - more) for more in (0, 1, 2)]
        return [self._batch(rows, length, generator) for rows, length in sizes]

    def _batch(self, rows: int, length: int, generator: torch.Generator) -> Batch:
        ids = torch.randint(2, 17, (rows, length), generator=generator)
        ids[:, 0] = 1
        lengths = torch.randint(3, length, (rows, 1), generator=generator)
        lengths[0] = length if rows > 1 else length - 2
        real = torch.arange(length) < lengths
        if self.holes:
            real &= torch.rand(real.shape, generator=generator) < 0.7
            real[:, 1:3] = True
        return torch.where(real, ids, 1), real  # the end mark, as in StoryRows

    def uses_all_experts(self) -> bool:
        """Whether every expert gets rows in each batch, so that every weight has a gradient."""
        model, fewest = self.model(1.0), []
        with torch.no_grad():
            for ids, _ in self.batches():
                model(ids[:, :-1])
                fewest += [int(_load(layer).min()) for layer in layers_of(model)]
        return min(fewest, default=3) >= 3


def trainings(rng: random.Random) -> list[Training]:
    """Four cases: a dense layer before two of experts, segments and padding in between, no layer
    of experts, one row.
    """

    def case(experts: Sequence[int], **kind: Any) -> Training:
        sizes = {"rows": rng.randint(5, 6), "length": rng.randint(8, 9)} | kind
        drawn = (Training(tuple(experts), **sizes, seed=rng.randrange(10**6)) for _ in range(500))
        return next(made for made in drawn if made.uses_all_experts())

    few, more = rng.sample((4, 5), 2)
    return [
        case((0, few, more)),
        case((more,), num_segments=2, holes=True),
        case((0,)),
        case((4,), rows=1, length=rng.randint(16, 18)),
    ]


def _load(layer: Built, real: Tensor | None = None) -> Tensor:
    chosen = layer.last_experts
    if real is not None:
        chosen = chosen[real.reshape(-1).repeat_interleave(layer.num_segments)]
    return chosen.flatten().bincount(minlength=len(layer.router.bias))


class Batches:
    """Batches to go through once, and the step of the bias that holds while each is used."""

    def __init__(self, batches: Sequence[Batch]):
        self.batches, self.at = batches, 0

    def __iter__(self) -> Iterator[Batch]:
        for ids, real in self.batches:
            yield ids, real
            self.at += 1

    def step(self) -> float:
        return STEPS[self.at]


def sgd(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """Plain: a step is 0.5 times the gradient."""
    return torch.optim.SGD([{"params": group} for group in groups(parameters)], lr=0.5)


def adamw(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """As DeepSeek was trained, with weight decay of the matrices alone."""
    norms, matrices = groups(parameters)
    decay = [{"params": norms, "weight_decay": 0.0}, {"params": matrices, "weight_decay": 0.1}]
    return torch.optim.AdamW(decay, lr=0.01)


def groups(tensors: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Those of norms and those of matrices."""
    return [t for t in tensors if t.ndim == 1], [t for t in tensors if t.ndim > 1]


@dataclass(frozen=True)
class Run:
    """What a training left: losses, all weights in a row, the bias of each layer of experts."""

    losses: list[float]
    weights: Tensor
    biases: list[Tensor]

    @classmethod
    def of(cls, model: Watched, losses: list[float]) -> "Run":
        """The run that left `model` like this."""
        weights = parameters_to_vector(model.parameters()).detach().clone()
        return cls(losses, weights, model.biases())


def norm_of(grads: Gradients) -> float:
    return float(torch.cat([grad.flatten() for grad in grads]).norm())


def cut(grads: Gradients) -> Gradients:
    """The gradients, all divided by their norm where it is above 1."""
    norm = norm_of(grads)
    return [grad / norm for grad in grads] if norm > 1 else list(grads)


@dataclass(frozen=True)
class Variant:
    """How the slow training goes; other values are those of a slip."""

    clip: Callable[[Gradients], Gradients] = cut
    marks: Callable[[Tensor], Tensor] = lambda real: real[:, :-1]  # which tokens fed in steer
    adds_up: bool = False  # gradients of earlier batches stay
    times: float = 1.0  # the step of the bias
    step: Callable[[int, int], float] = lambda i, count: STEPS[i]  # of the bias


def true_loss(logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
    """The mean, over the real targets, of what their probability costs."""
    probs = logits.log_softmax(dim=-1).gather(2, targets[..., None])[..., 0]
    return -probs[real].mean()


@functools.lru_cache(maxsize=64)
def slow_training(
    case: Training, count: int, sharp: float, make: Make = sgd, variant: Variant = Variant()
) -> Run:
    """The specification: the first `count` batches one by one, every bias in plain numbers."""
    model, losses = case.model(sharp), []
    kept: Gradients | None = None
    weights = list(model.parameters())
    optimizer = make(weights)
    for i, (ids, real) in enumerate(case.batches()[:count]):
        loss = true_loss(model(ids[:, :-1]), ids[:, 1:], real[:, 1:])
        grads = torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)
        summed = [a + b for a, b in zip(kept, grads, strict=True)] if kept else list(grads)
        clipped = variant.clip(summed)
        for weight, grad in zip(weights, clipped, strict=True):
            weight.grad = grad
        optimizer.step()
        kept = clipped if variant.adds_up else None
        for layer in layers_of(model):
            _move(layer, variant.marks(real), variant.times * variant.step(i, count))
        losses.append(loss.item())
    return Run.of(model, losses)


def _move(layer: Built, real: Tensor, step: float) -> None:
    bias, load = bias_of(layer), _load(layer, real)
    bias.copy_(torch.tensor(moved(bias.tolist(), load.tolist(), step)))
