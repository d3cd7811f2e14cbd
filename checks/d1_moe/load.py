"""The check of D1.4a: how often each expert was chosen."""

import random
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from checks.d1_moe.cases import Routing, large, routings
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from solutions import d1_moe as reference


def _load_kind(answer, case: Routing) -> None:
    _load(answer, case, case.routing()[1])


def _load(answer, case: Routing, experts: Tensor) -> Tensor:
    with _many(case):
        load = answer(experts, case.num_experts)
    ask = "Is there one whole number for each expert, chosen or not?"
    return expect.tensor(load, "load", (case.num_experts,), torch.int64, ask, ("experts",))


def _many(case: Routing) -> AbstractContextManager[None]:
    """Asks about an error that comes where there are more experts than int8 can number."""
    ask = (
        f"There are {case.num_experts} experts here: are their numbers brought to a type that ends "
        "below that? int8 ends at 127, uint8 at 255."
    )
    return expect.asking(ask, r"^\w+Error") if case.num_experts > 127 else nullcontext()


def _load_values(answer, case: Routing) -> None:
    for unused in (None, 0, case.num_experts - 1):
        experts = case.routing(unused)[1]
        want, first, last = (
            _counted(chosen, case) for chosen in (experts, experts[:, :1], experts[:, -1:])
        )
        got = _load(answer, case, experts)
        slips = _load_slips(want, first, last, case.top_k)
        if got.sort().values.equal(want.sort().values):
            slips[_ELSEWHERE] = got.detach
        if case.tokens > 255:
            slips[_OUTGROWN] = got.detach
        expect.close(got, want, "the load", axes=("expert",), slips=slips)


def _load_of_nothing(answer, case: Routing) -> None:
    """Of no token at all, as before anything is routed."""
    none, name = torch.empty(0, case.top_k, dtype=torch.int64), "the load of no token"
    ask = "Is there a 0 for each expert also where there is no token to count?"
    told = f"Here experts is of shape {tuple(none.shape)}, without a row. {ask}"
    with expect.asking(told, r"^\w+Error"):
        load = answer(none, case.num_experts)
    load = expect.tensor(load, name, (case.num_experts,), torch.int64, ask)
    expect.close(load, torch.zeros_like(load), name, axes=("expert",), slips={ask: load.detach})


_ELSEWHERE = (
    "The counts are right, in other places: does entry i count expert i, also where the lowest or "
    "the highest of them are not chosen?"
)
_OUTGROWN = (
    "Is it counted in a type that ends, or rounds, below that? int8 ends at 127, uint8 at 255, "
    "int16 at 32,767, and float16 rounds from 2,048 on."
)


def _counted(experts: Tensor, case: Routing) -> Tensor:
    count = Counter(experts.flatten().tolist())
    return torch.tensor([count[i] for i in range(case.num_experts)])


def _load_slips(
    want: Tensor, first: Tensor, last: Tensor, top_k: int
) -> dict[str, Callable[[], Tensor]]:
    padded = torch.zeros_like(want)
    padded[: want.count_nonzero()] = want[want != 0]
    return {
        "Is only each token's first choice counted?": lambda: first,
        "Is only each token's last choice counted?": lambda: last,
        "Does each expert that was chosen count once? `load[experts] += 1` adds once where a "
        "number repeats.": lambda: want.clamp(max=1),
        "Do the counts stand in the places of their experts, with 0 between them for an expert "
        "nobody chose?": lambda: padded,
        "Is the load sorted? Entry i belongs to expert i.": lambda: want.sort(descending=True)[0],
        "Are the experts numbered from 0?": lambda: torch.cat([want.new_zeros(1), want[:-1]]),
        "Are the experts numbered from 0 to num_experts - 1, and not from 1 on?": lambda: torch.cat(
            [want[1:], want.new_zeros(1)]
        ),
        "Are choices counted, and not divided by K?": lambda: want // top_k,
        "Is that a running total?": lambda: want.cumsum(0),
    }


def choices(rng: random.Random) -> list[Routing]:
    """Those of every check of routing, the large ones, and over 65,536 choices of each expert."""
    counted = Routing(rng.randint(110_000, 120_000), 8, 3, 2, 9, seed=rng.randrange(10**6))
    return [*routings(rng), *large(rng), counted]


def _load_use(answer, case: Routing) -> Used:
    experts = case.routing()[1]
    return lambda: answer(experts, case.num_experts), lambda: {"experts": experts}


check_expert_load = Check(
    id="D1.4a",
    name="expert_load",
    reference_answer=reference.expert_load,
    draw=choices,
    stages={
        "shape and type": _load_kind,
        "inputs untouched": untouched(_load_use),
        "counts, also of experts nobody chose": _load_values,
        "no token at all": _load_of_nothing,
    },
    hints=(
        "Which entry must be there for an expert that no token chose?",
        "Look at torch.bincount and its argument minlength.",
        "Flatten the choices and count each number from 0 to num_experts - 1.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 64, (4096, 6)), 64),
        run=lambda function, inputs: function(*inputs),
    ),
)
