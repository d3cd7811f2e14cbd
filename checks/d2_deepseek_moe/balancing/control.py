"""The check of D2.I1: the control loop on fixed affinities."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from checks.d1_moe.load import check_expert_load
from checks.d2_deepseek_moe.balancing.bias import check_update_bias
from checks.d2_deepseek_moe.balancing.rebalance import moved
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.stages import Used, untouched
from solutions import d2_deepseek_moe as reference


@dataclass(frozen=True)
class Control:
    """Fixed affinities of some batches, and the controller's options."""

    batches: int
    tokens: int
    num_experts: int
    top_k: int
    step: float
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.batches} batches of {self.tokens} tokens, num_experts={self.num_experts}, "
            f"top_k={self.top_k}, step={self.step}"
        )

    def affinity(self) -> Tensor:
        """`(S, T, E)`, skewed, so that the first steps have somewhere to go."""
        generator = torch.Generator().manual_seed(self.seed)
        logits = torch.randn(self.batches, self.tokens, self.num_experts, generator=generator)
        return (logits + torch.linspace(-1, 1, self.num_experts)).sigmoid()


def _controls(rng: random.Random) -> list[Control]:
    def case(
        batches: int | None = None, top_k: int | None = None, step: float | None = None
    ) -> Control:
        num_experts = rng.randint(5, 8)
        return Control(
            batches or rng.randint(6, 12),
            rng.randint(15, 30),
            num_experts,
            top_k or rng.randint(2, 3),
            rng.choice([0.05, 0.1, 0.2]) if step is None else step,
            rng.randrange(10**6),
        )

    at_the_mean = next(made for made in iter(case, None) if _meets_the_mean(made))
    return [at_the_mean, case(), case(), case(batches=1), case(top_k=1), case(step=0.0)]


Seen = Callable[[Tensor, list[list[float]]], Tensor]  # of affinities and the biases so far


def _with_last(scores: Tensor, path: list[list[float]]) -> Tensor:
    return scores + torch.tensor(path[-1])


def _control_path(
    case: Control,
    affinity: Tensor | None = None,
    *,
    seen: Seen = _with_last,
    top_k: int = 0,
    since_the_start: bool = False,
    from_zero: bool = False,
) -> Tensor:
    """The slow loop `(S, E)`, also of other affinities, choices, loads or starts."""
    affinity = case.affinity() if affinity is None else affinity
    path, total = [[0.0] * case.num_experts], [0] * case.num_experts
    for scores in affinity:
        load = _chosen_load(seen(scores, path), top_k or case.top_k)
        total = [so_far + new for so_far, new in zip(total, load, strict=True)]
        old = path[0] if from_zero else path[-1]
        path.append(moved(old, total if since_the_start else load, case.step))
    return torch.tensor(path[1:])


def _meets_the_mean(case: Control) -> bool:
    """Whether an expert is at the mean exactly after some batch, so that its bias stays."""
    path = _control_path(case)
    steps = torch.cat([torch.zeros_like(path[:1]), path]).diff(dim=0)
    return bool((steps.abs() < case.step / 2).any())


def _chosen_load(biased: Tensor, top_k: int) -> list[int]:
    load = [0] * biased.shape[-1]
    for row in biased.tolist():
        for i in sorted(range(len(row)), key=lambda i: -row[i])[:top_k]:
            load[i] += 1
    return load


def _control_slips(case: Control, want: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Other paths by the question that each calls for."""
    affinity = case.affinity()

    def own_load(scores: Tensor, path: list[list[float]]) -> Tensor:
        ahead = moved(path[-1], _chosen_load(_with_last(scores, path), case.top_k), case.step)
        return scores + torch.tensor(ahead)

    def everything(scores: Tensor, path: list[list[float]]) -> Tensor:
        return _with_last(affinity.flatten(0, 1), path)

    def token_by_token() -> Tensor:
        steps = _control_path(case, affinity.flatten(0, 1)[:, None])
        return steps[case.tokens - 1 :: case.tokens]

    return {
        "Is the bias kept after it is moved, and not before?": lambda: torch.cat(
            [torch.zeros_like(want[:1]), want[:-1]]
        ),
        "Is every row the same tensor, changed in place later?": lambda: want[-1:].expand_as(want),
        "Is each step made from this batch's load, and not from the one before?": lambda: (
            _other_steps(case, late=True)
        ),
        "Is the mean taken off the bias? It is free to drift.": lambda: _other_steps(
            case, centred=True
        ),
        "Does a batch's own load steer it?": lambda: _control_path(case, seen=own_load),
        "Does the bias take part in the choice?": lambda: _control_path(
            case, seen=lambda scores, path: scores
        ),
        "Is the bias added to the affinities, and not taken off?": lambda: _control_path(
            case, seen=lambda scores, path: scores - torch.tensor(path[-1])
        ),
        "Is the last bias alone added, and not all so far?": lambda: _control_path(
            case, seen=lambda scores, path: scores + torch.tensor(path).sum(0)
        ),
        "Does an expert with too few tokens go up?": lambda: _control_path(
            replace(case, step=-case.step)
        ),
        "Does each token choose top_k experts, and not its best alone?": lambda: _control_path(
            case, top_k=1
        ),
        "Does each token choose top_k experts, and not always two?": lambda: _control_path(
            case, top_k=2
        ),
        "Is each step made from one batch, and not from all at once?": lambda: _control_path(
            case, seen=everything
        ),
        "Is each batch routed by its own affinities, and not by the first's?": lambda: (
            _control_path(case, affinity[:1].expand_as(affinity))
        ),
        "Is it one step a batch, and not one a token?": token_by_token,
        f"{_STAYS} It goes up.": lambda: _other_steps(case, at_the_mean=1),
        f"{_STAYS} It goes down.": lambda: _other_steps(case, at_the_mean=-1),
        "Is the step the same for all, however far an expert is from the mean?": lambda: (
            _proportional(case)
        ),
        "Is it the step that is handed over, and not V3's 0.001?": lambda: _control_path(
            replace(case, step=0.001)
        ),
        "Does the load of earlier batches still count?": lambda: _control_path(
            case, since_the_start=True
        ),
        "Is the bias added to the affinities as they are, without a softmax?": lambda: (
            _control_path(case, affinity.softmax(-1))
        ),
        "Is the bias added to the affinities, and not a factor?": lambda: _control_path(
            case, seen=lambda scores, path: scores * (1 + torch.tensor(path[-1]))
        ),
        "Does each step go on from the bias before it, and not from zero?": lambda: _control_path(
            case, seen=lambda scores, path: scores, from_zero=True
        ),
    }


_STAYS = "Does an expert that is exactly at the mean stay where it is?"


def _other_steps(
    case: Control, late: bool = False, centred: bool = False, at_the_mean: int = 0
) -> Tensor:
    """The path of biases that are moved a batch late, freed of their mean, or moved also where an
    expert is at the mean, up (1) or down (-1).
    """
    path, before = [[0.0] * case.num_experts], [0] * case.num_experts
    for scores in case.affinity():
        load = _chosen_load(_with_last(scores, path), case.top_k)
        counted = before if late else load
        new = moved(path[-1], counted, case.step)
        even = [n * len(load) == sum(counted) for n in counted]
        new = [b + case.step * at_the_mean * rests for b, rests in zip(new, even, strict=True)]
        mean = sum(new) / len(new) if centred else 0.0
        path.append([each - mean for each in new])
        before = load
    return torch.tensor(path[1:])


def _proportional(case: Control) -> Tensor:
    path = [torch.zeros(case.num_experts)]
    for scores in case.affinity():
        load = torch.tensor(_chosen_load(scores + path[-1], case.top_k)).double()
        path.append(path[-1] + case.step * (load.mean() - load).float())
    return torch.stack(path[1:])


def _called(answer, case: Control, affinity: Tensor | None = None) -> Tensor:
    """What the call returns; tensors that do not fit are told beside the sizes of a batch."""
    sizes = case.tokens, case.num_experts
    fits = (
        f"In a batch (T, E) = {sizes} the bias and the load have {case.num_experts} numbers each: "
        "are experts chosen along E, and does the load count all of them?"
    )
    alone = "There is a single batch here: is another one read?"
    with (
        expect.asking(fits, rf"\({case.num_experts}\) (must match|at non-singleton)"),
        expect.asking(alone, "index 1 (is )?out of" if case.batches == 1 else "^$"),
    ):
        return answer(case.affinity() if affinity is None else affinity, case.top_k, case.step)


def _control_shape(answer, case: Control) -> None:
    ask = "Is there one row for each batch, in one tensor: the bias after it?"
    expect.tensor(
        _called(answer, case),
        "the path",
        (case.batches, case.num_experts),
        torch.float32,
        ask,
        ("batches", "experts"),
    )


def _control_first(answer, case: Control) -> None:
    got, want = _called(answer, case).detach(), _control_path(case)
    _expect_path(got[:1], want[:1], "the bias after the first batch,", got, want, case)


def _control_values(answer, case: Control) -> None:
    got, want = _called(answer, case).detach(), _control_path(case)
    _expect_path(got, want, "the bias after each batch", got, want, case)


def _expect_path(rows, wanted, name: str, got: Tensor, want: Tensor, case: Control) -> None:
    """The rows that are looked at; the question is of the slip that makes the whole path."""
    asks = {} if expect.near(rows, wanted) else _control_slips(case, want)
    ask = expect.joined([ask for ask, slip in asks.items() if expect.near(got, slip())])
    slips = {ask: lambda: rows} if ask else {}
    name = name if case.step else f"at a step of 0 {name}"
    expect.close(rows, wanted, name, axes=("batch", "expert"), slips=slips)


def _control_use(answer, case: Control) -> Used:
    affinity = case.affinity()
    return lambda: _called(answer, case, affinity), lambda: {"affinity": affinity}


check_control_bias = Check(
    id="D2.I1",
    name="control_bias",
    reference_answer=reference.control_bias,
    draw=_controls,
    stages={
        "shape and type": _control_shape,
        "inputs untouched": untouched(_control_use),
        "the first batch": _control_first,
        "every batch, by the slow loop": _control_values,
    },
    hints=(
        "Which bias does batch 0 see, and which one stands in row 0 of the result?",
        "Look at (scores + bias).topk(top_k, dim=-1).indices: (T, K), for one batch.",
        "Start from zeros (E,). For each batch choose by affinity + bias, count the load with "
        "expert_load, move the bias with update_bias and keep the new one; stack them at the end.",
    ),
    compared=Comparison(
        inputs=lambda: (Control(50, 256, 16, 2, 0.01, seed=0).affinity(), 2, 0.01),
        run=lambda function, inputs: function(*inputs),
    ),
    needs=(check_update_bias, check_expert_load),
)
