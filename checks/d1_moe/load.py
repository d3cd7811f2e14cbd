"""The checks of D1.4 and of the investigation into capacity: numbers made from a load."""

import random
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from checks.d1_moe.cases import Routing, routings
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stage_run import Stage
from checks.grading.stages import Used, untouched
from solutions import d1_moe as reference


def _load_kind(answer, case: Routing) -> None:
    _load(answer, case, case.routing()[1])


def _load(answer, case: Routing, experts: Tensor) -> Tensor:
    load = answer(experts, case.num_experts)
    ask = "Is there one whole number for each expert, chosen or not?"
    return expect.tensor(load, "load", (case.num_experts,), torch.int64, ask)


def _load_values(answer, case: Routing) -> None:
    for unused in (None, 0, case.num_experts - 1):
        experts = case.routing(unused)[1]
        chosen = experts.flatten().tolist()
        want = torch.tensor([chosen.count(i) for i in range(case.num_experts)])
        first = experts[:, 0].tolist()
        slips = {
            "Is only each token's first choice counted?": lambda first=first: torch.tensor(
                [first.count(i) for i in range(case.num_experts)]
            )
        }
        got = _load(answer, case, experts)
        expect.close(got, want, "the load", axes=("expert",), slips=slips)


def _load_use(answer, case: Routing) -> Used:
    experts = case.routing()[1]
    return lambda: answer(experts, case.num_experts), lambda: {"experts": experts}


check_expert_load = Check(
    id="D1.4a",
    name="expert_load",
    minutes=5,
    reference_answer=reference.expert_load,
    draw=routings,
    stages={
        "shape and type": _load_kind,
        "counts, also of experts nobody chose": _load_values,
        "inputs untouched": untouched(_load_use),
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


def _loads(rng: random.Random) -> list["_Load"]:
    """Loads of several sizes: any, with an idle expert, with one busy expert, large, alone."""
    sizes = rng.sample(range(3, 12), 4)
    drawn = [torch.tensor([rng.randint(40, 60) for _ in range(n)]) for n in sizes]
    drawn[0] = torch.tensor([rng.randint(1, 60) for _ in range(sizes[0])])
    drawn[1][rng.randrange(sizes[1])] = 0  # further below the mean than any is above it
    drawn[2] = torch.zeros_like(drawn[2])
    drawn[2][rng.randrange(sizes[2])] = rng.randint(5, 60)
    drawn[3] = drawn[3] * 100_000
    return [_Load(load) for load in drawn]


class _Load:
    """A drawn load; its text names the numbers."""

    def __init__(self, load: Tensor):
        self.load = load

    def __str__(self) -> str:
        return f"load = {self.load.tolist()}"


Metric = Callable[[Tensor], float]


def _metric_stages(name: str, of: Metric, slips: Mapping[str, Metric]) -> dict[str, Stage]:
    """Stages for a number made from a load: its value, its edges, and that load stays as it was."""

    def value(answer, case: _Load) -> None:
        load, true = case.load.clone(), case.load.double()
        wrong = {ask: slip(true) for ask, slip in slips.items()}
        with expect.untouched(lambda: {"load": load}):
            got = expect.number(answer(load), name)
            expect.number_close(got, of(true), f"{name}({case.load.tolist()})", wrong)

    def edges(answer, case: _Load) -> None:
        for load in (torch.full_like(case.load, 7), torch.zeros_like(case.load)):
            got = expect.number(answer(load.clone()), f"{name}({load.tolist()})")
            expect.require(abs(got) < 1e-6, f"{name}({load.tolist()}) must be 0.0, got {got:.4g}")

    return {"the value within 1e-5": value, "0.0 for an even load and for none": edges}


check_load_cv = Check(
    id="D1.4b",
    name="load_cv",
    minutes=5,
    reference_answer=reference.load_cv,
    draw=_loads,
    stages=_metric_stages(
        "load_cv",
        lambda load: float(load.std(correction=0) / load.mean()),
        {
            "Is that the sample deviation (divided by E - 1)?": lambda x: float(x.std() / x.mean()),
            "Is it divided by the mean?": lambda x: float(x.std(correction=0)),
            "Is that the variance?": lambda x: float(x.var(correction=0) / x.mean()),
            "Is the root taken?": lambda x: float(x.var(correction=0) / x.mean() ** 2),
            "Which is divided by which?": lambda x: float(x.mean() / x.std(correction=0)),
        },
    ),
    hints=(
        "Which deviation treats the E experts as all there are, and not as a sample?",
        "Look at load.double().std(correction=0) and load.double().mean().",
        "Make the load floating point, return 0.0 if it sums to 0, else deviation over mean.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 90, (64,)),),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)

check_max_violation = Check(
    id="D1.4c",
    name="max_violation",
    minutes=5,
    reference_answer=reference.max_violation,
    draw=_loads,
    stages=_metric_stages(
        "max_violation",
        lambda load: float((load.max() - load.mean()) / load.mean()),
        {
            "Is the mean taken off the maximum first?": lambda x: float(x.max() / x.mean()),
            "Is that the range, from the lowest?": lambda x: float((x.max() - x.min()) / x.mean()),
            "Is it divided by the mean?": lambda x: float(x.max() - x.mean()),
            "Is it the busiest expert, and not the one furthest from the mean?": lambda x: float(
                (x - x.mean()).abs().max() / x.mean()
            ),
        },
    ),
    hints=(
        "If every expert took the mean, what would the busiest one be above it?",
        "Look at load.max() and load.double().mean().",
        "Return 0.0 if the load sums to 0, else (maximum - mean) / mean.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 90, (64,)),),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)


_FACTORS = (0.5, 1.0, 1.25, 2.0)  # exact in binary, so that rounding down is not in doubt


def _fills(experts: Tensor, num_experts: int, factor: float) -> float:
    """The specification: choices come one by one and a full expert turns them away."""
    capacity = int(factor * experts.numel() / num_experts)
    taken, dropped = [0] * num_experts, 0
    for i in experts.flatten().tolist():
        dropped += taken[i] >= capacity
        taken[i] += taken[i] < capacity
    return dropped / experts.numel()


def _dropped_values(answer, case: Routing) -> None:
    experts = case.routing()[1] ** 2 // case.num_experts  # uneven, and repeats do not matter
    for factor in _FACTORS:
        load = reference.expert_load(experts, case.num_experts).tolist()
        name = f"the dropped share for capacity_factor={factor} and load {load}"
        want = _fills(experts, case.num_experts, factor)
        with expect.untouched(lambda: {"experts": experts}):
            got = expect.number(answer(experts, case.num_experts, factor), "the dropped share")
            expect.number_close(got, want, name, {_ROWS_OF_ONE: got}, bound=1e-6)


_ROWS_OF_ONE = "How many rows does one expert take at most, and is it a share of the T·K choices?"


def _dropped_none(answer, case: Routing) -> None:
    experts = case.routing()[1]
    share = answer(experts, case.num_experts, float(case.num_experts))
    got = expect.number(share, "the dropped share")
    expect.require(
        abs(got) < 1e-9,
        f"the dropped share for capacity_factor = num_experts must be 0, got {got:.4g}",
        "Does an expert that is not full drop any choice, or fewer than none?",
    )


check_dropped_share = Check(
    id="D1.I2",
    name="dropped_share",
    minutes=30,
    reference_answer=reference.dropped_share,
    draw=routings,
    stages={
        "nothing dropped where there is room for all": _dropped_none,
        "the share of a slow fill": _dropped_values,
    },
    hints=(
        "T·K = 40 choices, 4 experts, factor 1.25: how many rows does one expert take?",
        "Look at expert_load(experts, num_experts) less the capacity: who is above it?",
        "Take the load, subtract int(capacity_factor · T·K / num_experts), clamp at 0, sum, and "
        "divide by the number of choices.",
    ),
    needs=(check_expert_load,),
    compared=Comparison(
        inputs=lambda: (torch.randint(0, 64, (4096, 6)), 64, 1.25),
        run=lambda function, inputs: torch.tensor([float(function(*inputs))]),
    ),
)
