"""The check of D2.3c: one step of the bias towards an even load."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from checks.d2_deepseek_moe.balancing.moves import question
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from solutions import d2_deepseek_moe as reference

_BOUND = 1e-6  # finer than elsewhere: a step itself is small


@dataclass(frozen=True)
class _Update:
    """A load, the bias it is to move, and the step."""

    load: tuple[int, ...]
    step: float
    seed: int
    dtype: torch.dtype = torch.float32

    def __str__(self) -> str:
        return f"load={list(self.load)}, step={self.step}"

    def bias(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        return torch.randn(len(self.load), generator=generator).to(self.dtype) * 3

    def signs(self, around: float) -> Tensor:
        """+1 for a load under `around`, -1 for one over it, 0 for one that equals it."""
        return torch.tensor([float((n < around) - (n > around)) for n in self.load])

    def mean(self) -> float:
        return sum(self.load) / len(self.load)

    def kind(self) -> str:
        """What is special about the load, as the beginning of a sentence."""
        if not any(self.load):
            return "with no load at all "
        return "with an expert at exactly the mean load " if self.mean() in self.load else ""


def _updates(rng: random.Random) -> list[_Update]:
    """Thirteen cases: any load, an expert at the mean that stands first, last or in between, loads
    within 1 of the mean (also of a large one), a long tail, an even load, no load, no step.
    """

    def case(load: list[int], step: float | None = None, **kind: Any) -> _Update:
        step = rng.randint(1, 40) / 100 if step is None else step
        return _Update(tuple(load), step, rng.randrange(10**6), **kind)

    def drawn(most: int = 60) -> list[int]:
        return [rng.randint(0, most) for _ in range(rng.randint(4, 9))]

    def shuffled(load: list[int]) -> list[int]:
        return rng.sample(load, len(load))

    n, base = rng.randint(4, 9), rng.randint(3, 50)
    counts = [0, rng.randint(61, 90), *drawn()]
    uneven, at_mean = shuffled([count * len(counts) for count in counts]), [sum(counts)]
    return [
        case(shuffled([0, *drawn()])),
        case(drawn(), dtype=torch.float64),
        case(at_mean + uneven),  # a loop that ends there moves nobody
        case(uneven + at_mean),
        case(uneven[:2] + at_mean + uneven[2:]),
        case(shuffled([base] * (n - 1) + [base + 1])),
        case(shuffled([base + 1] * (n - 1) + [base])),
        case(shuffled([200_000 + base] * (n - 1) + [200_001 + base])),
        case(shuffled([rng.randint(1, 9) for _ in range(n)] + [50_000 + n]), step=0.001),
        # under the mean of the busy, over that of all
        case(shuffled([0, 0, 0, 2 * base, 6 * base])),
        case([base] * n),
        case([0] * n),
        case(drawn(), step=0.0),
    ]


def _updated(answer, case: _Update) -> Tensor:
    bias, load = case.bias(), torch.tensor(case.load)
    new = answer(bias, load, case.step)
    ask = "Does it come in the shape and type of bias, as a tensor?"
    expect.tensor(new, f"{case.kind()}the new bias", bias.shape, bias.dtype, ask, ("experts",))
    expect.require(
        not new.requires_grad,
        "the new bias must not be learnable, and it needs a gradient",
        "Is it made an nn.Parameter?",
    )
    return new


def _update_kind(answer, case: _Update) -> None:
    _updated(answer, case)


def _update_untouched(answer, case: _Update) -> None:
    """The old bias stays: a caller may still need it, and decides what the new one replaces."""
    bias, load = case.bias(), torch.tensor(case.load)
    with expect.untouched(lambda: {"bias": bias, "load": load}):
        answer(bias, load, case.step)


def _update_direction(answer, case: _Update) -> None:
    """Only experts 1 and more from the mean, where every rule agrees on the direction."""
    new = _updated(answer, case)
    moved = (new - case.bias()).double()
    for i, (n, move) in enumerate(zip(case.load, moved.tolist(), strict=True)):
        if abs(n - case.mean()) < 1 or not case.step:
            continue
        under = n < case.mean()
        if not (move > _BOUND if under else move < -_BOUND):
            expect.require(
                False,
                f"expert {i} has load {n}, {'under' if under else 'over'} the mean "
                f"{case.mean():.2f}, so its bias must {'rise' if under else 'fall'} by the step, "
                f"{case.step}: it moved by {move:.4g}",
                _ask(answer, case, new),
            )


def _ask(answer, case: _Update, new: Tensor) -> str:
    """The question about a wrong new bias: what is kept, which slip made it, or how it moved."""
    load = torch.tensor(case.load)
    answer(case.bias(), 1000 * (load.max() - load), case.step)
    if not expect.near(_updated(answer, case), new, _BOUND):
        return (
            "The same bias and load give another new bias after a call with another load: is "
            "something kept from call to call, or drawn at random?"
        )
    asks = [ask for ask, slip in _slips(case).items() if expect.near(new, slip(), _BOUND)]
    return expect.joined(asks) or question(case.bias(), new, load, case.step)


def _slips(case: _Update) -> dict[str, Callable[[], Tensor]]:
    """What slips make of the new bias, by the question that each calls for."""
    bias, load, mean = case.bias().double(), torch.tensor(case.load).double(), case.mean()
    signs = case.signs(mean).double()
    missing = mean - load
    ends = torch.zeros_like(load)
    ends[load.argmin()] += 1
    ends[load.argmax()] -= 1
    middle = float(load.median())

    def moved(by: Tensor) -> Tensor:
        return bias + case.step * by

    return _shifted(case, moved) | {
        "Do all experts move, and not the busiest and the idlest alone?": lambda: moved(ends),
        "Is the direction turned? Under the mean the bias rises.": lambda: moved(-signs),
        "Does the old bias come into the new one?": lambda: case.step * signs,
        "Is the step added to the old bias, and not multiplied with it?": lambda: (
            bias * (1 + case.step * signs)
        ),
        "Is the new bias centred (its mean taken off)? It is left free to drift.": lambda: (
            moved(signs) - moved(signs).mean()
        ),
        "Is the new bias kept within bounds? It has none.": lambda: moved(signs).clamp(-1, 1),
        "Is a bias kept from falling below 0? It may.": lambda: moved(signs).clamp(min=0),
        "Does an expert move however little its load is off the mean?": lambda: moved(
            signs * (missing.abs() > 1e-5 * mean)
        ),
        "Is the step the same for all, however far an expert is from the mean?": lambda: moved(
            missing
        ),
        "Is the step taken whole, and not in the measure of the load?": lambda: moved(
            missing / max(mean, 1e-9)
        ),
        "Is the step taken whole near the mean too?": lambda: moved(missing.clamp(-1, 1)),
        "Is it the sign, and not a smooth stand-in such as tanh?": lambda: moved(missing.tanh()),
        "Is the update centred (its mean taken off)? An expert under the mean rises by exactly "
        "step.": lambda: moved(signs - signs.mean()),
        "Is the step shared out among the experts? Each takes it whole.": lambda: moved(
            signs / len(load)
        ),
        "Is it the step that is handed over, and not V3's 0.001?": lambda: bias + 0.001 * signs,
        "Is the step taken once?": lambda: moved(2 * signs),
        "Is the mean rounded? It need not be a whole number.": lambda: moved(
            case.signs(float(int(mean)))
        ),
        "Is it the mean of the load that counts, and not the median?": lambda: moved(
            case.signs(middle)
        ),
        "What does an expert with exactly the mean load get?": lambda: moved(
            torch.where(signs == 0, 1.0, signs)
        ),
        "Is an expert with exactly the mean load left as it is?": lambda: moved(
            torch.where(signs == 0, -1.0, signs)
        ),
        "Does the loop end at an expert with exactly the mean load (`break` for `continue`)?": (
            lambda: moved(torch.where((signs == 0).cumsum(0) > 0, 0.0, signs))
        ),
        "Do experts over the mean move too?": lambda: moved(signs.clamp(min=0)),
        "Do experts under the mean move too?": lambda: moved(signs.clamp(max=0)),
    }


def _shifted(case: _Update, moved: Callable[[Tensor], Tensor]) -> dict[str, Callable[[], Tensor]]:
    """Slips that are off by one: in the index, in how many experts there are, in the mean."""
    mean, n = case.mean(), len(case.load)
    signs = case.signs(mean).double()
    by_one = "Does each expert take its own move, and not that of the one"
    return {
        f"{by_one} before it (an index off by one)?": lambda: moved(signs.roll(1)),
        f"{by_one} after it (an index off by one)?": lambda: moved(signs.roll(-1)),
        "Is each move added to its own expert's bias, and not to the next one's?": lambda: (
            case.bias().double().roll(1) + case.step * signs
        ),
        "Is the sum divided by all E experts for the mean, and not by E - 1?": lambda: moved(
            case.signs(mean * n / (n - 1))
        ),
        "Is the sum divided by E experts for the mean, and not by E + 1?": lambda: moved(
            case.signs(mean * n / (n + 1))
        ),
        "Is the mean one too high?": lambda: moved(case.signs(mean + 1)),
        "Is the mean one too low?": lambda: moved(case.signs(mean - 1)),
    }


def _update_steps(answer, case: _Update) -> None:
    mean, new = case.mean(), _updated(answer, case)
    want = case.bias().double() + case.step * case.signs(mean).double()
    slips = {} if expect.near(new, want, _BOUND) else {_ask(answer, case, new): lambda: new}
    name = f"the new bias, old ± {case.step}, around the mean load {mean:.2f},"
    expect.close(new, want, name, axes=("expert",), slips=slips, bound=_BOUND)


check_update_bias = Check(
    id="D2.3c",
    name="update_bias",
    reference_answer=reference.update_bias,
    draw=_updates,
    stages={
        "shape and type": _update_kind,
        "inputs untouched": _update_untouched,
        "up under the mean, down over it": _update_direction,
        "by exactly one step": _update_steps,
    },
    hints=(
        "An expert got too few tokens. Must its bias go up or down for the next batch?",
        "Look at load.double().mean() - load: above 0 where an expert has too few. How far above "
        "does not matter.",
        "Return bias plus step times the sign of how far each expert is under the mean load, mean "
        "minus load, in the type of bias.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(64), torch.randint(0, 90, (64,)), 0.001),
        run=lambda function, inputs: function(*inputs),
    ),
)
