"""Questions of three tokens with one answer: facts to remember, or cases of one rule.

A question is a pair of things and a relation; N questions. All tokens come from one vocabulary:
128 things, 32 relations, 64 values.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

THINGS, RELATIONS, VALUES = 128, 32, 64
VOCABULARY = THINGS + RELATIONS + VALUES
GROUPS = 8  # of things, under a rule: one value per pair of groups


@dataclass(frozen=True)
class Facts:
    """`asked` holds thing, thing and relation of each question, and `answer` the value's token."""

    asked: Int[Tensor, "N three"]
    answer: Int[Tensor, " N"]

    def __len__(self) -> int:
        return len(self.answer)


def random_facts(count: int = 4096, seed: int = 0) -> Facts:
    """`count` different questions whose values are drawn at random.

    Nothing about one follows from the others: each is known or it is not.
    """
    generator = torch.Generator().manual_seed(seed)
    asked = _questions(count, generator)
    return Facts(asked, _token(torch.randint(VALUES, (count,), generator=generator)))


def ruled_facts(count: int = 4096, held_out: int = 1024, seed: int = 0) -> tuple[Facts, Facts]:
    """Questions to learn from and others that are held out, all answered by one rule.

    Each thing belongs to one of eight groups, and the value follows from the two groups, in order;
    the relation says nothing. Who has found the rule knows the questions that were held out.
    """
    generator = torch.Generator().manual_seed(seed)
    asked = _questions(count + held_out, generator)
    group = torch.randint(GROUPS, (THINGS,), generator=generator)
    value_of = torch.randperm(VALUES, generator=generator).view(GROUPS, GROUPS)
    answer = _token(value_of[group[asked[:, 0]], group[asked[:, 1]]])
    return Facts(asked[:count], answer[:count]), Facts(asked[count:], answer[count:])


def _questions(count: int, generator: torch.Generator) -> Int[Tensor, "N three"]:
    """Different pairs of things, each with a relation."""
    if not 1 <= count <= THINGS**2:
        raise ValueError(f"there are 1 to {THINGS**2} pairs to ask about, got {count}")
    pair = torch.randperm(THINGS**2, generator=generator)[:count]
    relation = THINGS + torch.randint(RELATIONS, (count,), generator=generator)
    return torch.stack([pair // THINGS, pair % THINGS, relation], dim=1)


def _token(value: Int[Tensor, " N"]) -> Int[Tensor, " N"]:
    return THINGS + RELATIONS + value
