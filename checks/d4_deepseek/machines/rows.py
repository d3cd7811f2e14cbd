"""The check of D4.I3a: which rows a process sends, and where."""

import random
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from checks.d1_moe.load import check_expert_load
from checks.d4_deepseek.machines.cases import Spread, spreads
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from checks.grading.stages import Used, untouched
from solutions import d4_machines as reference

MANY = 300  # tokens


def _draws(rng: random.Random) -> list[Spread]:
    """Small ones, and one of so many rows that a sort which is not stable shows."""
    many = Spread((MANY, 0), 6, 3, rng.randrange(6), rng.randrange(9999))
    return [*spreads(rng, (2, 4, 1, 3)), many]


def _made(answer: Callable, case: Spread, rank: int | None = None) -> tuple[Tensor, Tensor]:
    experts = case.choices(_busiest(case) if rank is None else rank)
    got = answer(experts, case.num_experts, case.processes)
    order, counts = expect.pair(got, ("order", "counts"))
    wide = case.processes, case.num_experts // case.processes
    if isinstance(order, Tensor) and order.shape == wide:
        raise Wrong(
            f"order and counts must come back in this order, and the first has shape {wide}. "
            "Are the two exchanged?"
        )
    is_per_token = isinstance(order, Tensor) and order.shape == (len(experts),)
    ask = "Is there an entry per choice, and not per token? A token travels once per expert."
    long = (experts.numel(),)
    expect.tensor(order, "order", long, torch.int64, ask if is_per_token else "", ("choices",))
    expect.tensor(counts, "counts", wide, torch.int64, "", ("processes", "experts of one"))
    return order, counts


def _busiest(case: Spread) -> int:
    return max(range(case.processes), key=lambda rank: case.tokens[rank])


def _shapes(answer: Callable, case: Spread) -> None:
    _made(answer, case)


def _counts(answer: Callable, case: Spread) -> None:
    flat = case.choices(_busiest(case)).flatten().tolist()
    local = case.num_experts // case.processes
    want = torch.tensor([flat.count(i) for i in range(case.num_experts)]).view(-1, local)
    got = _made(answer, case)[1]
    slips = {
        "Are the experts dealt out in turn? Those of a process lie side by side: process r holds "
        "r·N to (r + 1)·N - 1.": lambda: want.reshape(-1).view(local, -1).T.contiguous(),
        "Is it how many rows each expert gets, and not where they end?": lambda: (
            want.flatten().cumsum(0).view_as(want)
        ),
        "Is a choice counted as there or not there? Several tokens choose the same expert.": (
            lambda: want.clamp(max=1)
        ),
    }
    expect.close(got, want, "counts", axes=("process", "its expert"), slips=slips)


def _order(answer: Callable, case: Spread) -> None:
    choices = case.choices(_busiest(case))
    flat = choices.flatten()
    got, local = _made(answer, case)[0], case.num_experts // case.processes
    numbers = got.tolist()
    expect.require(
        sorted(numbers) == list(range(len(flat))),
        "order must hold each choice from 0 to T·K - 1 once, and it does not",
        "Does it hold tokens (a choice c belongs to token c // K), or experts? It says which "
        "choice is sent first, which second, and so on.",
    )
    by_expert = flat[got]
    slips = {
        "Is it where each choice goes, and not which choice goes first? `argsort` of the order "
        "turns one into the other.": lambda: flat[got.argsort()],
        "Do the rows stand by process alone? Within a process they stand by expert too.": (
            lambda: flat[(flat // local).argsort(stable=True)]
        ),
        "Are the choices numbered by place first? Choice c is of token c // K, as "
        "`experts.flatten()` has them.": lambda: flat[choices.T.flatten().argsort(stable=True)],
        "Are the rows still in the order of the tokens?": lambda: flat,
        "Do the experts run from the last to the first?": lambda: flat.sort(descending=True).values,
    }
    want = flat.sort().values
    if not torch.equal(by_expert, want):
        fitting = [ask for ask, slip in slips.items() if torch.equal(by_expert, slip())]
        if torch.equal(flat[got.argsort()], want):
            fitting = list(slips)[:1]
        place = int((by_expert != want).nonzero()[0])
        expect.require(
            False,
            f"row {place} to be sent must be for expert {int(want[place])}, and it is for "
            f"expert {int(by_expert[place])}",
            expect.joined(fitting),
        )


def _stable(answer: Callable, case: Spread) -> None:
    flat = case.choices(_busiest(case)).flatten()
    got = _made(answer, case)[0]
    neighbours = pairwise(got.tolist())
    turned = [(a, b) for a, b in neighbours if flat[a] == flat[b] and a > b]
    if turned:
        expect.require(
            False,
            f"rows for the same expert must keep their order: choice {turned[0][1]} stands behind "
            f"choice {turned[0][0]}",
            "Is the sort `stable=True`, and are the choices in their own order before it?",
        )


def _none(answer: Callable, case: Spread) -> None:
    """A process without a token sends nothing, and says so for every expert."""
    if 0 in case.tokens:
        counts = _made(answer, case, case.tokens.index(0))[1]
        expect.close(counts, torch.zeros_like(counts), "counts", when="without a token")


def _use(answer: Callable, case: Spread) -> Used:
    experts = case.choices(_busiest(case))
    return lambda: answer(experts, case.num_experts, case.processes), lambda: {"experts": experts}


check_rows_to_send = Check(
    id="D4.I3a",
    name="rows_to_send",
    reference_answer=reference.rows_to_send,
    draw=_draws,
    stages={
        "inputs are untouched": untouched(_use),
        "shapes and types": _shapes,
        "how many go to each expert": _counts,
        "by process, then by expert": _order,
        "rows for one expert keep their order": _stable,
        "a process without a token": _none,
    },
    hints=(
        "Which two things must a process know before it sends anything?",
        "`experts.flatten()` has an entry per choice: in which order do these go by expert, and "
        "how often does each expert stand there?",
        "Take the stable argsort of the flattened choices as the order; count with your "
        "expert_load and reshape the E counts to a row per process.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.rand(20_000, 64).topk(4).indices, 64, 8),
        run=lambda answer, inputs: answer(*inputs)[0],
    ),
    needs=(check_expert_load,),
)
