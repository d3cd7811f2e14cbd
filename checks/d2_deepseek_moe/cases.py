"""The sizes and options a check of DeepSeek's router runs on, and the router's slow form."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from checks.d1_moe.cases import Routing

CLEAR = 1e-6  # scores closer than this leave open which is the greater


@dataclass(frozen=True)
class Biased(Routing):
    """One case with the router's options, and with those of the layer around it."""

    affinity: str = "sigmoid"
    renormalise: bool = True
    scale: float = 1.0
    num_groups: int = 1
    top_groups: int = 1
    num_shared: int = 1
    num_segments: int = 1

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.changed().items())
        return ", ".join([super().__str__(), *([given] if given else [])])

    def changed(self, *without: str) -> dict:
        """The options that differ from their defaults."""
        own = [f for f in fields(Biased) if f.name in Biased.__annotations__]
        values = {f.name: getattr(self, f.name) for f in own if getattr(self, f.name) != f.default}
        return {name: value for name, value in values.items() if name not in without}

    def options(self) -> dict:
        """The router's options that differ from their defaults."""
        return self.changed("num_shared", "num_segments")

    def x(self) -> Tensor:
        """Tokens `(T, D)`, long enough to spread their affinities."""
        return 3 * super().x()

    def bias(self) -> Tensor:
        """A bias large enough to change choices, and below zero where there are groups."""
        drawn = torch.randn(self.num_experts, generator=self.generator().manual_seed(self.seed + 2))
        spread = 0.3 if self.affinity == "sigmoid" else 0.15
        return spread * drawn - (0.8 if self.num_groups > 1 else 0.0)

    def deciding_bias(self) -> Tensor:
        """A bias that alone decides every choice, so that a small step changes none."""
        generator = self.generator().manual_seed(self.seed + 3)
        return 10.0 * 2.0 ** torch.randperm(self.num_experts, generator=generator)


def affinities(logits: Tensor, case: Biased) -> Tensor:
    return logits.sigmoid() if case.affinity == "sigmoid" else logits.softmax(-1)


def logits_of(scores: Tensor, case: Biased) -> Tensor:
    """Logits with these affinities."""
    return scores.logit() if case.affinity == "sigmoid" else scores.log()


def top_two(scores: Sequence[float]) -> float:
    """What a group counts: the sum of its two highest scores."""
    return sum(sorted(scores)[-2:])


Value = TypeVar("Value")
Strength = Callable[[Sequence[float]], float]


def groups(row: Sequence[Value], num_groups: int) -> list[Sequence[Value]]:
    """The scores of each group of neighbouring experts."""
    size = len(row) // num_groups
    return [row[g * size : (g + 1) * size] for g in range(num_groups)]


def kept_experts(
    row: Sequence[float], num_groups: int, top_groups: int, strength: Strength = top_two
) -> list[int]:
    """The experts in the best groups of one token, in rising order."""
    strengths = [strength(group) for group in groups(row, num_groups)]
    best = sorted(range(num_groups), key=lambda g: -strengths[g])[:top_groups]
    size = len(row) // num_groups
    return sorted(i for g in best for i in range(g * size, (g + 1) * size))


def is_clear(row: Sequence[float], num_groups: int) -> bool:
    """Whether no two scores, and no two groups, are as good as equal."""
    strengths = [top_two(group) for group in groups(row, num_groups)] if num_groups > 1 else []
    return all(_distinct(values) for values in (row, strengths))


def _distinct(values: Sequence[float]) -> bool:
    ordered = sorted(values)
    return all(b - a > CLEAR for a, b in pairwise(ordered))


def slow_choice(
    scores: Tensor, case: Biased, strength: Strength = top_two, group_scores: Tensor | None = None
) -> list[set[int]]:
    """The experts each token must choose: the top_k of those in its best groups."""
    chosen = []
    of_groups = scores if group_scores is None else group_scores
    for row, group_row in zip(scores.tolist(), of_groups.tolist(), strict=True):
        kept = kept_experts(group_row, case.num_groups, case.top_groups, strength)
        chosen.append(set(sorted(kept, key=lambda i: -row[i])[: case.top_k]))
    return chosen


def biased_cases(rng: random.Random) -> list[Biased]:
    """Twelve cases: the published routers' options, two groups, one token, one expert and all."""

    def case(num_experts=None, top_k=None, tokens=None, **kind: Any) -> Biased:
        num_experts = num_experts or rng.randint(5, 8)
        top_k = top_k or rng.randint(2, num_experts - 2)
        d_model, expert_dim = rng.sample(range(8, 14), 2)
        tokens = tokens or rng.randint(15, 24)
        return Biased(tokens, d_model, num_experts, top_k, expert_dim, rng.randrange(10**6), **kind)

    def grouped(choices: str = "any", num_groups: int = 0, **kind: Any) -> Biased:
        drawn, size = rng.sample(range(3, 6), 2)
        num_groups = num_groups or drawn
        top_groups = rng.randint(2, num_groups - 1) if num_groups > 2 else 1
        held = top_groups * size
        # more choices than groups, or groups that count by their best expert would change nothing
        some = rng.randint(top_groups + 1, held - 1)
        top_k = {"one group's": size, "any": some, "all": held}[choices]
        return case(num_groups * size, top_k, num_groups=num_groups, top_groups=top_groups, **kind)

    everyone = rng.randint(3, 5)
    return [
        case(),
        case(affinity="softmax", contiguous=False),  # Mixtral
        case(affinity="softmax", renormalise=False),  # V2-Lite
        grouped(affinity="softmax", renormalise=False, scale=16.0),  # V2's scale
        grouped("one group's", scale=2.5),  # V3
        grouped(scale=2.5, dtype=torch.float32, contiguous=False),
        grouped("all"),
        grouped(num_groups=2),
        case(tokens=1, scale=2.5),
        case(top_k=1, renormalise=False, scale=0.5),
        case(top_k=1, scale=2.5),
        case(num_experts=everyone, top_k=everyone),
    ]
