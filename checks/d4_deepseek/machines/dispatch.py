"""The check of D4.I3b: dispatch over processes, which is dispatch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from checks.d4_deepseek.machines.cases import WIDTH, Spread, spreads
from checks.d4_deepseek.machines.rows import check_rows_to_send
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from checks.processes.pool import STARTED, Together, together
from solutions import d4_machines as reference
from solutions.d1_moe import dispatch_combine

Made = dict[str, Any]


class Called(nn.Module):
    """The experts of one process; `calls` counts how often each is called."""

    def __init__(self, experts: nn.ModuleList):
        super().__init__()
        self.experts, self.calls = experts, [0] * len(experts)

    def __len__(self) -> int:
        return len(self.experts)

    def __getitem__(self, i: int) -> Callable[[Tensor], Tensor]:
        def called(x: Tensor) -> Tensor:
            self.calls[i] += 1
            return self.experts[i](x)

        return called


def _in_process(answer: Callable, rank: int, group: Any, case: Spread) -> Made:
    """What the answer makes of this process's tokens, with all gradients and calls."""
    local = case.num_experts // case.processes
    mine = Called(case.experts()[rank * local : (rank + 1) * local])
    x, gates = case.rows(rank).requires_grad_(), case.gates(rank).requires_grad_()
    experts = case.choices(rank)
    given = [t.detach().clone() for t in (x, gates, experts)]
    y = answer(x, gates, experts, mine, group)
    kept = all(torch.equal(a, b) for a, b in zip(given, (x, gates, experts), strict=True))
    made: Made = {"y": y, "untouched": kept, "calls": mine.calls}
    if isinstance(y, Tensor) and y.shape == x.shape and y.dtype == x.dtype:
        if not y.requires_grad:
            return made | {"y": y.detach(), "no gradient": True}
        (y * _direction(case, rank)).sum().backward()
        weights = [[w.grad for w in expert.parameters()] for expert in mine.experts]
        made |= {"y": y.detach(), "x": x.grad, "gates": gates.grad, "experts": weights}
    return made | {"y": y.detach() if isinstance(y, Tensor) else y}


def _direction(case: Spread, rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(case.seed * 8 + rank + 4000)
    shape = case.tokens[rank], WIDTH
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _in_one(case: Spread) -> list[Made]:
    """The same of dispatch_combine, with all experts and the tokens of all processes."""
    every, made = case.experts(), []
    for rank in range(case.processes):
        x, gates = case.rows(rank).requires_grad_(), case.gates(rank).requires_grad_()
        y = dispatch_combine(x, gates, case.choices(rank), every)
        if len(x):
            (y * _direction(case, rank)).sum().backward()
        made.append({"y": y.detach(), "x": x.grad, "gates": gates.grad})
    return [one | {"every": every} for one in made]


_TOGETHER = Together(_in_process)


def _shapes(answer: Callable, case: Spread) -> None:
    _look(_TOGETHER.anew(answer, case.processes, case), case)


def _outputs(answer: Callable, case: Spread) -> list[Made]:
    found = _TOGETHER.again(answer, case.processes, case)
    _look(found, case)
    return found


def _look(found: list[Made], case: Spread) -> None:
    for rank, made in enumerate(found):
        y = f"y of process {rank}"
        shape = case.tokens[rank], WIDTH
        expect.tensor(made["y"], y, shape, torch.float64, "Is y made like x?", ("token", "D"))
        expect.require(
            made["untouched"],
            f"x, gates and experts of process {rank} must not be changed, and one was",
            "Does a line write into it in place (`+=`, `[...] =`, a name ending in `_`)?",
        )


def _values(answer: Callable, case: Spread) -> None:
    found, want = _outputs(answer, case), _in_one(case)
    for rank, (made, one) in enumerate(zip(found, want, strict=True)):
        slips = _slips(case, rank, made["y"])
        expect.close(made["y"], one["y"], f"y of process {rank}", slips=slips)


def _slips(case: Spread, rank: int, got: Tensor) -> dict[str, Callable[[], Tensor]]:
    every, local = case.experts(), case.num_experts // case.processes
    x, gates, experts = case.rows(rank), case.gates(rank), case.choices(rank)

    @torch.no_grad()
    def combined(gates: Tensor = gates, experts: Tensor = experts) -> Tensor:
        return dispatch_combine(x, gates, experts, every)

    order = experts.flatten().argsort(stable=True)

    @torch.no_grad()
    def other_rows() -> Tensor:
        """Row c % T in place of row c // K, for the expert of choice c."""
        rows = x[order % max(1, len(x))]
        return sum_of_choices(rows, order, gates, experts, every)

    return {
        "Is the row of choice c that of token c // K, and not of token c % T?": other_rows,
        "Is x added to the output? The residual is the block's work.": lambda: x + combined(),
        "Do the gates weight what comes back?": lambda: combined(torch.ones_like(gates)),
        "Are the gates in the order in which the rows come back? `gates.flatten()[order]` brings "
        "them there.": lambda: combined(gates.flatten()[order.argsort()].view_as(gates)),
        "Does a token keep only the last of its rows? `y[tokens] = rows` writes over, `index_add` "
        "adds.": lambda: combined(gates * (experts == experts.amax(1, keepdim=True))),
        "Are the gates used twice, before the rows travel and after?": lambda: combined(gates**2),
        "Does every process run its own experts, number 0 to N - 1, on its own rows? Rows travel "
        "to the process that holds their expert.": lambda: combined(
            experts=experts % local + rank * local
        ),
        "Follow one row: the token it is a copy of, the expert that it meets, the place at which "
        "its result comes back, its gate. Which of the four is another one than it must be?": (
            lambda: got
        ),
    }


def sum_of_choices(
    rows: Tensor, order: Tensor, gates: Tensor, experts: Tensor, every: nn.ModuleList
) -> Tensor:
    """The weighted outputs of `rows`, of which row i belongs to choice `order[i]`, by token."""
    y, top_k = torch.zeros(len(experts), WIDTH, dtype=gates.dtype), experts.shape[1]
    for row, choice in zip(rows, order.tolist(), strict=True):
        token, place = divmod(choice, top_k)
        y[token] += gates[token, place] * every[int(experts[token, place])](row)
    return y


def _gradients(answer: Callable, case: Spread) -> None:
    found, want = _outputs(answer, case), _in_one(case)
    local = case.num_experts // case.processes
    for rank, (made, one) in enumerate(zip(found, want, strict=True)):
        expect.require(
            "no gradient" not in made,
            f"y of process {rank} has no gradient",
            "Is there a `detach` or `no_grad`, or does the plain collective carry the rows? "
            "`exchange` has a gradient.",
        )
        if case.tokens[rank]:
            for name in ("x", "gates"):
                _close_gradient(made[name], one[name], f"the gradient of {name}, process {rank},")
        for i, weights in enumerate(made["experts"]):
            number = rank * local + i
            wanted = [w.grad for w in one["every"][number].parameters()]
            for got, want_of_it in zip(weights, wanted, strict=True):
                _close_gradient(got, want_of_it, f"the gradient of expert {number}'s weights")


def _close_gradient(got: Tensor | None, want: Tensor | None, name: str) -> None:
    if want is None:  # nobody chose the expert: no gradient, or one of zeros
        if got is not None and bool(got.any()):
            raise Wrong(f"{name} must be 0, since no row went there")
        return
    if got is None:
        raise Wrong(
            f"{name} is missing. Is something detached on the way, or exchanged without `exchange`?"
        )
    expect.close(got, want, name, axes=("row",))


def _own_experts(answer: Callable, case: Spread) -> None:
    """Each process calls each of its experts once; those of others it does not have."""
    for rank, made in enumerate(_outputs(answer, case)):
        calls = made["calls"]
        expect.require(
            max(calls) <= 1,
            f"process {rank} must call each of its experts once, with all rows that came for it, "
            f"and calls one {max(calls)} times",
            "Is an expert called per process, or per row? Rows for the same expert are brought "
            "together first.",
        )
        expect.require(
            min(calls) == 1,
            f"process {rank} must call each of its experts once, also one that no row came for, "
            f"and leaves out its expert {calls.index(min(calls))}",
            "Is an expert without rows passed over? Called on no row, it gets a gradient of zeros, "
            "as processes that train it together expect.",
        )


def _run(answer: Callable, case: Spread) -> list[Made]:
    return together(answer, case.processes, _in_process, case)


check_expert_parallel_dispatch = Check(
    id="D4.I3b",
    name="expert_parallel_dispatch",
    reference_answer=reference.expert_parallel_dispatch,
    draw=lambda rng: spreads(rng, (2, 1, 4)),
    stages={
        "shapes, types, inputs untouched": _shapes,
        "equal to dispatch_combine": _values,
        "gradients of x, gates and every expert": _gradients,
        "each expert once": _own_experts,
    },
    hints=(
        "What must a process know before rows arrive, and who knows it?",
        "Follow one row: `x[order // K]` leaves, arrives by process and then by expert, is run, "
        "and comes back to the place it left from. In which order do the rows stand at each step?",
        "Exchange the counts (one row each), then the rows with the sums of counts as sizes; bring "
        "what arrived together by local expert with a stable sort, run each expert once, put the "
        "results back in the order of arrival, exchange with the sizes swapped, weight by the "
        "gates in `order`, and index_add to the tokens.",
    ),
    compared=Comparison(
        inputs=lambda: (Spread((40, 30), 8, 2, 0, 0),),
        run=lambda answer, inputs: torch.cat([made["y"] for made in _run(answer, *inputs)]),
    ),
    preload=STARTED,
    needs=(check_rows_to_send,),
)
