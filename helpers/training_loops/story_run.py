"""A training run on stories that goes on where it stopped, and what it measures on the way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from tqdm import tqdm

from helpers.data.story_rows import StoryRows
from helpers.measuring.story_measures import Generate, held_out, sample_stories, story_scores
from helpers.model.device import device_of
from helpers.training_loops.optimiser import optimiser_and_schedule

MEASURED = 48  # stories sampled for a point of the coherence curve
BATCHES = 8  # drawn together: 4% of what they hold is padding, and 23% of batches drawn alone
ANNEALED = 0.3  # the share of the run over which the step of the bias falls to 0

Batch = tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]
BiasStep = Callable[[], float]
Train = Callable[[nn.Module, Iterable[Batch], torch.optim.Optimizer, BiasStep], list[float]]


@dataclass(frozen=True)
class Point:
    """What was measured after `step` steps: held-out losses, coherence, the layers' CV.

    `told` is the loss of names told before, which falls when the model learns to copy.
    """

    step: int
    loss: float
    told: float
    coherent: float
    cvs: tuple[float, ...]


class StoryRun:
    """A training of `steps` steps that can be cut in parts: each `.train` goes on from the last.

    AdamW with linear warm-up and linear decay to 0; the step of the balancing bias is `bias` and
    falls to 0 over the last 30% of the steps, as V3 freezes its own. Rows are drawn for eight
    batches at a time, and each batch takes some of like length. `points` holds what was
    measured after every `every` steps and after the last.
    """

    def __init__(
        self,
        model: nn.Module,
        rows: StoryRows,
        steps: int,
        *,
        generate: Generate | None = None,
        every: int = 100,
        batch: int = 16,
        lr: float = 3e-3,
        bias: float = 0.01,
        seed: int = 0,
    ):
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.model, self.rows, self.steps, self.generate = model, rows, steps, generate
        self.every, self.batch, self.bias = every, batch, bias
        self.generator = torch.Generator().manual_seed(seed)
        self.drawn: list[Int[Tensor, " batch"]] = []
        self.optimizer, self.schedule = optimiser_and_schedule(model, lr, steps)
        self.bar = tqdm(total=steps, desc="training", unit="step", mininterval=0.5)
        self.done = 0
        self.points: list[Point] = []

    def train(self, train: Train, steps: int) -> list[float]:
        """Trains for `steps` steps, or as many as are left, and returns the loss of each.

        `train(model, batches, optimizer, bias_step)`, as in D4.3b, is called with one batch at a
        time; between two calls the learning rate and the bar move, and the model is measured.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        losses: list[float] = []
        for _ in range(min(steps, self.steps - self.done)):
            losses += train(self.model, [self._next_batch()], self.optimizer, self.bias_step)
            self._advance()
        return losses

    def batches(self, steps: int) -> NoReturn:
        """Raises a TypeError that says how to train: this is how it was done up to 0.1.0."""
        raise TypeError(
            "StoryRun no longer trains while its batches are iterated: write "
            f"run.train(train, {steps}) in place of "
            f"train(model, run.batches({steps}), run.optimizer, run.bias_step)"
        )

    def bias_step(self) -> float:
        """How far a balancing bias moves after the current batch."""
        left = (self.steps - 1 - self.done) / max(1.0, ANNEALED * self.steps)
        return self.bias * min(1.0, left)

    def _next_batch(self) -> Batch:
        """Random rows of about the same length, cut to the longest of them."""
        if not self.drawn:
            self.drawn = self._drawn()
        picked = self.drawn.pop()
        ids, real = self.rows.ids[picked], self.rows.real[picked]
        length = int(real.sum(1).max())
        where = device_of(self.model)
        return ids[:, :length].to(where), real[:, :length].to(where)

    def _drawn(self) -> list[Int[Tensor, " batch"]]:
        """Rows for the next batches: sorted by length, so that little is padding, then shuffled."""
        count = BATCHES * self.batch
        picked = torch.randint(len(self.rows.ids), (count,), generator=self.generator)
        by_length = picked[self.rows.real[picked].sum(1).argsort(stable=True)]
        batches = by_length.split(self.batch)
        return [batches[i] for i in torch.randperm(BATCHES, generator=self.generator)]

    def _advance(self) -> None:
        """Moves schedule and bar on by one step, and measures where it is time to."""
        self.schedule.step()
        self.done += 1
        self.bar.update()
        if self.done % self.every == 0 or self.done == self.steps:
            self.points.append(self._measured())
            self._show(self.points[-1])
        if self.done == self.steps:
            self.bar.close()

    def _show(self, point: Point) -> None:
        balance = f", CV {max(point.cvs):.3f}" if point.cvs else ""
        self.bar.set_postfix_str(
            f"held-out loss {point.loss:.3f}, coherent {point.coherent:.0%}{balance}"
        )

    def _measured(self) -> Point:
        found = held_out(self.model, self.rows, count=100)
        coherent = 0.0
        if self.generate is not None:
            texts = sample_stories(self.model, self.rows, self.generate, MEASURED)
            coherent = story_scores(texts, self.rows).coherent
        return Point(self.done, found.loss, found.told, coherent, tuple(found.cvs))
