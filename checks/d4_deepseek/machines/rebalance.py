"""The check of D4.I3c: the bias moves by the load of all processes."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d2_deepseek_moe.balancing.bias import check_update_bias
from checks.d4_deepseek.machines.cases import Spread, spread
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.seeded import seeded
from checks.processes.pool import STARTED, Together, together
from solutions import d4_machines as reference
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import DeepSeekMoE, update_bias


@dataclass(frozen=True)
class Batch:
    """Choices of several processes, some of padding, and a bias that all of them have."""

    spread: Spread
    num_segments: int
    step: float

    def __str__(self) -> str:
        return f"{self.spread}, num_segments={self.num_segments}, step={self.step}"

    def choices(self, rank: int) -> Tensor:
        """`(T·m, K)`, m rows per token."""
        wide = Spread(
            tuple(self.num_segments * tokens for tokens in self.spread.tokens),
            self.spread.num_experts,
            self.spread.top_k,
            self.spread.unused,
            self.spread.seed,
        )
        return wide.choices(rank)

    def real(self, rank: int) -> Tensor:
        """`(1, T)`: every third token is padding, and in the first process the first one too."""
        places = torch.arange(self.spread.tokens[rank]) + rank
        return (places % 3 != 2)[None]

    def layer(self, rank: int) -> DeepSeekMoE:
        """The course's own layer after its batch."""
        width = 2 * self.num_segments
        with seeded(self.spread.seed):
            layer = DeepSeekMoE(
                width,
                self.spread.num_experts,
                self.spread.top_k,
                2,
                1,
                num_segments=self.num_segments,
            )
            layer.router.bias.copy_(torch.randn(self.spread.num_experts))
        layer.last_experts = self.choices(rank)
        return layer

    def load(self, rank: int) -> Tensor:
        """The load of this process's real tokens."""
        rows = self.real(rank).flatten().repeat_interleave(self.num_segments)
        return expert_load(self.choices(rank)[rows], self.spread.num_experts)


def _draws(rng: random.Random) -> list[Batch]:
    """Cases in which the loads of the processes pull the bias of an expert in both directions."""
    found: list[Batch] = []
    for segments, processes in ((1, 2), (2, 4), (1, 1)):
        batch = _batch(rng, segments, processes)
        while processes > 1 and not _differ(batch):
            batch = _batch(rng, segments, processes)
        found.append(batch)
    return found


def _batch(rng: random.Random, segments: int, processes: int) -> Batch:
    case = spread(rng, processes, idle=processes > 2)
    return Batch(case, segments, rng.uniform(0.01, 0.1))


def _differ(batch: Batch) -> bool:
    """Whether no process alone, nor the sum of their moves, would move the bias as all do."""
    ranks = range(batch.spread.processes)
    zero = torch.zeros(batch.spread.num_experts)
    whole = update_bias(zero, _whole(batch), 1.0)
    moves = [update_bias(zero, batch.load(rank), 1.0) for rank in ranks]
    together = [torch.stack(moves).sum(0), torch.stack(moves).mean(0)]
    return all(not torch.equal(move, whole) for move in [*moves, *together])


def _whole(batch: Batch) -> Tensor:
    ranks = range(batch.spread.processes)
    return torch.stack([batch.load(rank) for rank in ranks]).sum(0)


def _in_process(answer: Callable, rank: int, group: Any, batch: Batch) -> dict[str, Any]:
    layer, real = batch.layer(rank), batch.real(rank)
    buffer, given = layer.router.bias, (layer.last_experts.clone(), real.clone())
    load = answer(layer, real, batch.step, group)
    return {
        "load": load,
        "bias": layer.router.bias.detach().clone(),
        "same": dict(layer.router.named_buffers()).get("bias") is buffer,
        "untouched": torch.equal(layer.last_experts, given[0]) and torch.equal(real, given[1]),
    }


_TOGETHER = Together(_in_process)
_GROUPS = {1: 2, 2: 2, 4: 1}  # by size, of such groups among the processes that `together` runs


def _shapes(answer: Callable, batch: Batch) -> None:
    _look(_TOGETHER.anew(answer, batch.spread.processes, batch), batch)


def _made(answer: Callable, batch: Batch) -> list[dict[str, Any]]:
    found = _TOGETHER.again(answer, batch.spread.processes, batch)
    _look(found, batch)
    return found


def _look(found: list[dict[str, Any]], batch: Batch) -> None:
    for made in found:
        experts = batch.spread.num_experts
        expect.tensor(made["load"], "the load", (experts,), torch.int64, "", ("expert",))
        expect.require(
            made["untouched"],
            "last_experts and real must not be changed, and one was",
            "Is the load summed in place into what the layer keeps?",
        )
        expect.require(
            made["same"],
            "layer.router.bias must stay the router's own buffer, and it was replaced",
            "Is the new bias copied into it (`.copy_`)?",
        )


def _loads(answer: Callable, batch: Batch) -> None:
    segments = batch.num_segments
    for rank, made in enumerate(_made(answer, batch)):
        when = f"in process {rank}" + (f", with {segments} rows a token" if segments > 1 else "")
        slips = _other_loads(batch, rank)
        expect.close(
            made["load"], _whole(batch), "the load", axes=("expert",), when=when, slips=slips
        )


def _other_loads(batch: Batch, rank: int) -> dict[str, Callable[[], Tensor]]:
    processes, experts = range(batch.spread.processes), batch.spread.num_experts
    padded = torch.stack([expert_load(batch.choices(r), experts) for r in processes])
    loads = torch.stack([batch.load(r) for r in processes])
    of_marks = partial(_summed, batch)
    return {
        "Do all rows of a token count? It has `num_segments` of them.": of_marks(
            lambda real, m: F.pad(real, (0, (m - 1) * len(real)))
        ),
        "Do the rows of a token lie side by side? Each mark is repeated, and not all of them in "
        "turn.": of_marks(lambda real, m: real.repeat(m)),
        "Is it the mean over the processes? Their sum is asked for.": (
            lambda: loads.sum(0) // len(loads)
        ),
        "Is it the load of this process alone? `dist.all_reduce` sums it over all.": (
            lambda: loads[rank]
        ),
        "Does the collective name the group? Without `group=group` it sums over every process "
        "there is, also those of other groups.": lambda: loads.sum(0) * _GROUPS[len(loads)],
        "Does padding count?": lambda: padded.sum(0),
        "Does padding count, and is it the load of this process alone?": lambda: padded[rank],
        "Is it the largest load of any process? The sum is asked for.": (
            lambda: loads.max(0).values
        ),
    }


def _summed(batch: Batch, marked: Callable[[Tensor, int], Tensor]) -> Callable[[], Tensor]:
    """The load of all processes if `marked(real, m)` says which rows count."""

    def load() -> Tensor:
        experts = batch.spread.num_experts
        each = [
            expert_load(
                batch.choices(rank)[marked(batch.real(rank).flatten(), batch.num_segments)], experts
            )
            for rank in range(batch.spread.processes)
        ]
        return torch.stack(each).sum(0)

    return load


def _biases(answer: Callable, batch: Batch) -> None:
    bias = batch.layer(0).router.bias
    want = update_bias(bias, _whole(batch), batch.step)
    for rank, made in enumerate(_made(answer, batch)):
        slips, when = _other_biases(batch, rank, bias, want), f"in process {rank}"
        expect.close(made["bias"], want, "the bias", axes=("expert",), when=when, slips=slips)


def _other_biases(
    batch: Batch, rank: int, bias: Tensor, want: Tensor
) -> dict[str, Callable[[], Tensor]]:
    processes, whole = range(batch.spread.processes), _whole(batch)
    moves = torch.stack([update_bias(bias, batch.load(r), batch.step) - bias for r in processes])
    return {
        "Does it move by the load of this process alone? Then every process has a bias of its "
        "own, and the same token goes to different experts.": lambda: bias + moves[rank],
        "Are the moves summed, and not the loads?": lambda: bias + moves.sum(0),
        "Are the moves averaged, and not the loads summed?": lambda: bias + moves.mean(0),
        "Is the sign turned? An expert with too few tokens gets a higher bias.": (
            lambda: 2 * bias - want
        ),
        "Does the bias stay as it was in this process? Every process moves its own.": lambda: bias,
        "Does it move twice, by the load of this process and again by that of all? `rebalance` "
        "moves it too.": lambda: bias + moves[rank] + (update_bias(bias, whole, batch.step) - bias),
        "Does each process move its own bias, and are the biases summed? The loads are summed, "
        "before one bias moves.": lambda: (bias + moves).sum(0),
        "Does it move once per process?": lambda: bias + len(moves) * (want - bias),
    }


def _run(answer: Callable, batch: Batch) -> list[dict[str, Any]]:
    return together(answer, batch.spread.processes, _in_process, batch)


check_rebalance_together = Check(
    id="D4.I3c",
    name="rebalance_together",
    reference_answer=reference.rebalance_together,
    draw=_draws,
    stages={
        "shapes and types, the buffer stays": _shapes,
        "the load of all processes": _loads,
        "the same bias everywhere": _biases,
    },
    hints=(
        "Each process sees a part of the batch. Which number must be the same everywhere before "
        "the bias moves?",
        "`expert_load(layer.last_experts[rows], E)` is the load of this process: which collective "
        "makes of it that of all?",
        "Count the real rows as `rebalance` does, `dist.all_reduce(load, group=group)`, then copy "
        "update_bias of that load into the router's bias, and return the load.",
    ),
    compared=Comparison(
        inputs=lambda: (Batch(Spread((40, 30), 8, 2, 0, 0), 1, 0.01),),
        run=lambda answer, inputs: torch.cat([made["bias"] for made in _run(answer, *inputs)]),
    ),
    preload=STARTED,
    needs=(check_update_bias,),
)
