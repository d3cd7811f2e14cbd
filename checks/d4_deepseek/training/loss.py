"""The check of D4.3a: the mean cross-entropy over the targets that are real."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d4_deepseek.training.loss_slips import value_slips
from checks.d4_deepseek.training.slow_loss import slow_loss
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Wrong
from checks.grading.stages import Used, untouched
from checks.grading.strided import strided
from solutions import d4_deepseek as reference


@dataclass(frozen=True)
class _Scored:
    """One case: logits of `(B, L, V)`, targets, and how many of each row are real, front or back.

    The real ones of a row whose number is negative stand at its end. With holes, every second of
    them is padding too.
    """

    lengths: tuple[int, ...]
    length: int
    vocab: int
    seed: int
    dtype: torch.dtype = torch.float64
    contiguous: bool = True
    holes: bool = False

    def __str__(self) -> str:
        kind = str(self.dtype).removeprefix("torch.")
        counts = self.real().sum(dim=1).tolist()
        return f"{kind} logits of shape {self.shape}, real targets of each row: {counts}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return len(self.lengths), self.length, self.vocab

    def draw(self, offset: int = 0) -> tuple[Tensor, Tensor]:
        """Logits and targets, others for another `offset`; the targets hold first and last id."""
        generator = torch.Generator().manual_seed(self.seed + offset)
        logits = 2 * torch.randn(self.shape, generator=generator, dtype=torch.float64)
        logits = logits.to(self.dtype)
        targets = torch.randint(self.vocab, self.shape[:2], generator=generator)
        at = 0 if self.lengths[0] > 0 else -1
        targets[0, at], targets[0, at - 1 if at else 1 % self.length] = 0, self.vocab - 1
        if not self.contiguous:
            logits = strided(logits)
        return logits, targets

    def real(self) -> Tensor:
        """`(B, L)` bool."""
        places = torch.arange(self.length)
        rows = [places < n if n >= 0 else places >= self.length + n for n in self.lengths]
        return torch.stack(rows) & ((places % 2 == 0) | (not self.holes))

    def everything(self) -> Tensor:
        return torch.ones(self.shape[:2], dtype=torch.bool)


def _scoreds(rng: random.Random) -> list[_Scored]:
    """Seven cases: rows of different lengths, padding in front, float32, one row, a row of padding
    alone and one real target in another, one position, padding between real targets.
    """

    def case(*lengths: int, **kind: Any) -> _Scored:
        sizes = {"length": rng.randint(6, 8), "vocab": rng.randint(9, 12)}
        return _Scored(lengths, **{**sizes, "seed": rng.randrange(10**6), **kind})

    some = [rng.randint(2, 3), rng.randint(4, 5), 1]
    return [
        case(*some, 6),
        case(-some[1], some[0], -some[2], contiguous=False),
        case(*some[::-1], 6, 2, dtype=torch.float32),
        case(some[1]),
        case(2, 0, some[1], 1),
        case(1, 0, 1, length=1),
        case(5, 6, 1, holes=True),
    ]


def _loss(answer, logits: Tensor, targets: Tensor, real: Tensor) -> Tensor:
    """What the answer returns for copies of its inputs, once it is one number of the right type.

    Targets and marks are slices, as the next tokens of longer rows are.
    """
    ask = "Does the cross-entropy get whole numbers as its logits? They come first, then targets."
    with expect.asking(ask, "not implemented for '(Long|Bool)'"):
        got = answer(logits.clone(), _sliced(targets), _sliced(real))
    if not real.any(dim=1).all() and isinstance(got, Tensor):
        expect.require(
            not got.isnan().any(),
            "the loss must be a number also where a row has no real target, got NaN",
            "Is a mean taken of each row? One mean counts every real target alike.",
        )
    if isinstance(got, Tensor) and got.ndim == 0 and not got.is_meta and got.isnan():
        raise Wrong(
            "the loss must be a number, got NaN, as of a mean of no target. Do logits and targets "
            "of the same position meet, as they come, and is a mean taken over real ones alone?"
        )
    ask = "It is one number for the whole batch, still a tensor, of the type of the logits."
    return expect.tensor(got, "the loss", (), logits.dtype, ask).detach()


def _sliced(values: Tensor) -> Tensor:
    return F.pad(values, (1, 0))[:, 1:]


def _kind(answer, case: _Scored) -> None:
    _loss(answer, *case.draw(), case.everything())


def _expect_value(answer, case: _Scored, real: Tensor, name: str, **more: Callable) -> None:
    logits, targets = case.draw()
    got = _loss(answer, logits, targets, real)
    want = float(slow_loss(logits.double(), targets, real))
    expect.number_close(float(got), want, name, value_slips(logits, targets, real))


def _all_real(answer, case: _Scored) -> None:
    _expect_value(answer, case, case.everything(), "the loss with every target real")


def _padding_idle(answer, case: _Scored) -> None:
    """Other logits where nothing is real, then other targets, then both."""
    (logits, targets), (others, ids), real = case.draw(), case.draw(1), case.real()
    before = _loss(answer, logits, targets, real)
    changed_logits = torch.where(real[..., None], logits, 5 * others)
    changed_targets = torch.where(real, targets, ids)
    for what, scores, wanted in (
        ("logits", changed_logits, targets),
        ("targets", logits, changed_targets),
        ("logits and targets", changed_logits, torch.where(real, targets, 0)),
    ):
        after = _loss(answer, scores, wanted, real)
        expect.require(
            expect.near(after, before),
            f"other {what} where nothing is real must leave the loss at {float(before):.5g}, "
            f"got {float(after):.5g}",
            "Does the loss of padding come into the sum, or into how many there are? Wherever a "
            "mark stands in its row, it chooses the target at its own place.",
        )


def _real_only(answer, case: _Scored) -> None:
    _expect_value(answer, case, case.real(), "the mean loss of the real targets")


def _large(answer, case: _Scored) -> None:
    """Logits whose exponentials overflow, or vanish beside the largest."""
    logits, targets = case.draw()
    more = 1000 if case.dtype == torch.float64 else 200
    for change, large in (("times 400", 400 * logits), (f"plus {more}", logits + more)):
        got = answer(large.clone(), targets.clone(), case.real())
        want = float(slow_loss(large.double(), targets, case.real()))
        expect.require(
            isinstance(got, Tensor) and abs(float(got) - want) <= 1e-4 * max(1.0, want),
            f"with all logits {change} the loss must be {want:.5g}, got {float(got):.5g}",
            "Is a softmax made first and its logarithm taken after? log_softmax and "
            "cross_entropy do both in one, and no exponential overflows.",
        )


def _use(answer, case: _Scored) -> Used:
    inputs = dict(zip(("logits", "targets", "real"), (*case.draw(), case.real()), strict=True))
    return lambda: answer(*inputs.values()), lambda: inputs


def _gradient(answer, case: _Scored) -> None:
    logits, targets = case.draw()
    real, wants, leaf = case.real(), logits.double().requires_grad_(), logits.requires_grad_()
    (want,) = torch.autograd.grad(slow_loss(wants, targets, real), wants)
    loss = answer(leaf, targets.clone(), real.clone())
    expect.require(
        isinstance(loss, Tensor) and loss.requires_grad,
        "no gradient leaves your code at all",
        "Is there a `detach`, `.data`, `.item()` or `no_grad` on the way?",
    )
    (got,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    expect.require(got is not None, "no gradient reaches the logits", "Are they detached?")
    idle = float(got[~real].abs().max()) if not real.all() else 0.0
    expect.require(
        idle == 0,
        f"the gradient at padding must be 0, got {idle:.3g}",
        "Does the loss of padding come into the sum?",
    )
    name = "the gradient for the logits"
    expect.close(got.flatten(0, 1), want.flatten(0, 1), name, axes=("target",), bound=1e-6)


check_masked_loss = Check(
    id="D4.3a",
    name="masked_loss",
    reference_answer=reference.masked_loss,
    draw=_scoreds,
    stages={
        "one number, of the logits' type": _kind,
        "inputs untouched": untouched(_use),
        "every target real: their mean": _all_real,
        "what stands in padding changes nothing": _padding_idle,
        "the mean over real targets, and no others": _real_only,
        "large logits": _large,
        "gradient at real positions alone": _gradient,
    },
    hints=(
        "Two rows have 5 and 2 real targets. By which number is the sum of their losses divided?",
        "Look at logits[real] and targets[real]: (n, V) and (n,), where n is how many are real.",
        "Pick the logits and the targets marked in real, and return their F.cross_entropy: it "
        "takes the mean over all rows it is given.",
    ),
    compared=Comparison(
        inputs=lambda: (
            torch.randn(8, 64, 500),
            torch.randint(500, (8, 64)),
            torch.rand(8, 64) < 0.7,
        ),
        run=lambda function, inputs: function(*inputs),
    ),
)
