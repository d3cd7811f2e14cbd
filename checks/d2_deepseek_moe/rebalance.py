"""The check of D2.3e: the load of real tokens steers the bias, one step per batch."""

import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.d1_moe.load import check_expert_load
from checks.d2_deepseek_moe.bias import check_update_bias
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.seeded import seeded
from checks.grading.stages import Used, untouched
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class Batch:
    """A routed batch of `rows` sequences of `length` positions, some of them padding."""

    rows: int
    length: int
    num_segments: int
    num_experts: int
    top_k: int
    step: float
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.rows} rows of {self.length} positions, num_segments={self.num_segments}, "
            f"num_experts={self.num_experts}, top_k={self.top_k}, step={self.step}"
        )

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def real(self) -> Tensor:
        """`(B, L)`: every row has padding, behind its tokens, before them or in between."""
        marks = torch.rand(self.rows, self.length, generator=self.generator()) < 0.6
        starts = torch.arange(self.rows)[:, None] % 2
        places = torch.arange(self.length)
        marks |= (places >= starts) & (places < starts + 2)
        marks[:, -1] = starts[:, 0] == 1
        return marks

    def layer(self) -> reference.DeepSeekMoE:
        """The course's own layer after a batch in which all padding chose the same experts."""
        width = 4 * self.num_segments
        with seeded(self.seed):
            layer = reference.DeepSeekMoE(
                width, self.num_experts, self.top_k, 3, 1, num_segments=self.num_segments
            )
        rows = self.rows * self.length * self.num_segments
        scores = torch.rand(rows, self.num_experts, generator=self.generator())
        scores += torch.linspace(0, 0.4, self.num_experts)  # uneven, so that few loads are even
        scores[:, -1] -= 2  # nobody chooses the last expert
        layer.last_experts = scores.topk(self.top_k, dim=-1).indices
        padding = ~self.real().reshape(-1).repeat_interleave(self.num_segments)
        layer.last_experts[padding] = torch.arange(self.top_k)
        bias_of(layer).copy_(torch.randn(self.num_experts, generator=self.generator()) / 10)
        return layer


def bias_of(layer: Built) -> Tensor:
    """The balancing bias of a layer of experts."""
    return layer.router.bias


def _batches(rng: random.Random) -> list[Batch]:
    """Six: of any size, with segments, one row, top-1, all real but one row, many experts."""

    def case(**given: Any) -> Batch:
        drawn = {
            "rows": rng.randint(2, 5),
            "length": rng.randint(6, 11),
            "num_segments": 1,
            "num_experts": rng.randint(5, 8),
            "top_k": rng.randint(2, 3),
            "step": rng.choice([0.001, 0.01, 0.05]),
            "seed": rng.randrange(10**6),
        }
        return Batch(**{**drawn, **given})

    return [
        case(),
        case(num_segments=2),
        case(num_segments=3),
        case(rows=1),
        case(top_k=1),
        case(num_experts=11),
    ]


def _load_of(layer: reference.DeepSeekMoE, real: Tensor, case: Batch) -> Tensor:
    """The slow count: one row of a segment at a time, those of padding left out."""
    counts, marks = [0] * case.num_experts, real.reshape(-1).tolist()
    for row, chosen in enumerate(layer.last_experts.tolist()):
        for i in chosen:
            counts[i] += bool(marks[row // case.num_segments])
    return torch.tensor(counts)


def _everything(layer: reference.DeepSeekMoE, case: Batch) -> Tensor:
    return torch.bincount(layer.last_experts.flatten(), minlength=case.num_experts)


def _rebalance_load(answer, case: Batch) -> None:
    layer, real = case.layer(), case.real()
    want, everything = _load_of(layer, real, case), _everything(layer, case)
    first = torch.bincount(
        layer.last_experts[real.reshape(-1).repeat_interleave(case.num_segments)][:, 0],
        minlength=case.num_experts,
    )
    got = answer(layer, real, case.step)
    expect.tensor(got, "the load", (case.num_experts,), torch.int64)
    slips = {
        "Is padding counted too?": lambda: everything,
        "Is padding counted, and the real tokens left out?": lambda: everything - want,
        "Is only each row's first choice counted?": lambda: first,
    }
    expect.close(got, want, "the load of real tokens", axes=("expert",), slips=slips)


def _rebalance_bias(answer, case: Batch) -> None:
    layer, real = case.layer(), case.real()
    bias, load = bias_of(layer).clone(), _load_of(layer, real, case)
    want = torch.tensor(moved(bias.tolist(), load.tolist(), case.step))
    padded = torch.tensor(moved(bias.tolist(), _everything(layer, case).tolist(), case.step))
    answer(layer, real, case.step)
    got = bias_of(layer)
    expect.tensor(got, "layer.router.bias", bias.shape, bias.dtype)
    expect.require(
        not torch.equal(got, bias) or torch.equal(want, bias),
        "layer.router.bias must have moved by a step, and it is what it was",
        "Is the new bias kept in the layer?",
    )
    slips = {
        "Does the load that steers count padding?": lambda: padded,
        "Does it go down where an expert has too few?": lambda: 2 * bias - want,
        "Is the step taken twice?": lambda: 2 * want - bias,
    }
    expect.close(got, want, "the bias", axes=("expert",), slips=slips)
    expect.require(
        "bias" in dict(layer.router.named_buffers()),
        "bias must stay a buffer of the router: it is saved with the model and has no gradient",
    )


def moved(bias: list[float], load: list[int], step: float) -> list[float]:
    """The sign rule in plain numbers."""
    mean = sum(load) / len(load)
    return [b + step * ((n < mean) - (n > mean)) for b, n in zip(bias, load, strict=True)]


def _rebalance_twice(answer, case: Batch) -> None:
    """A second batch whose tokens all chose the last experts: the first must be forgotten."""
    layer, real = case.layer(), case.real()
    answer(layer, real, case.step)
    bias = bias_of(layer).clone()
    late = torch.arange(case.num_experts - case.top_k, case.num_experts)
    layer.last_experts = late.expand_as(layer.last_experts).contiguous()
    want = moved(bias.tolist(), _load_of(layer, real, case).tolist(), case.step)
    answer(layer, real, case.step)
    expect.close(
        bias_of(layer),
        torch.tensor(want),
        "after a second batch the bias",
        axes=("expert",),
        slips={"Does the load of earlier batches still count?": lambda: bias_of(layer)},
    )


def _rebalance_use(answer, case: Batch) -> Used:
    layer, real = case.layer(), case.real()

    def tensors() -> dict[str, Tensor]:
        return {"real": real, "layer.last_experts": layer.last_experts}

    return lambda: answer(layer, real, case.step), tensors


def _compared_rebalance(function, inputs: tuple) -> Tensor:
    layer, real = inputs[0].layer(), inputs[0].real()
    return torch.stack([function(layer, real, 0.01), bias_of(layer)])


check_rebalance = Check(
    id="D2.3e",
    name="rebalance",
    minutes=15,
    reference_answer=reference.rebalance,
    draw=_batches,
    stages={
        "the load of real tokens": _rebalance_load,
        "the bias moved one step, in the layer": _rebalance_bias,
        "a second batch by its own load": _rebalance_twice,
        "inputs untouched": untouched(_rebalance_use),
    },
    hints=(
        "last_experts has T·m rows and real has T entries. Which rows belong to token 3?",
        "Look at real.reshape(-1).repeat_interleave(layer.num_segments): one mark per row.",
        "Take the rows of last_experts that are real, count them with expert_load, put the result "
        "of update_bias into layer.router.bias with copy_, and return the load.",
    ),
    compared=Comparison(
        inputs=lambda: (Batch(16, 64, 1, 32, 4, 0.01, seed=0),), run=_compared_rebalance
    ),
    needs=(check_update_bias, check_expert_load),
)
