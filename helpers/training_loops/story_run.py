"""A training run on stories that goes on where it stopped, and what it measures on the way."""

from dataclasses import dataclass
from typing import NoReturn

from torch import nn
from tqdm import tqdm

from helpers.data.story_batches import StoryBatches
from helpers.data.story_rows import StoryRows
from helpers.measuring.story_measures import Generate, held_out, sample_stories, story_scores
from helpers.training_loops.loop import Train, TrainingLoop

MEASURED = 48  # stories sampled for a point of the coherence curve


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

    The loop is `TrainingLoop`'s, over the batches of `StoryBatches`. `points` holds what was
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
        self.model, self.rows, self.steps, self.generate = model, rows, steps, generate
        self.every = every
        batches = StoryBatches(rows.ids, rows.real, batch, seed)
        self.loop = TrainingLoop(model, batches, steps, lr, bias)
        self.bar = tqdm(total=steps, desc="training", unit="step", mininterval=0.5)
        self.points: list[Point] = []

    @property
    def done(self) -> int:
        """The number of steps taken."""
        return self.loop.done

    def train(self, train: Train, steps: int) -> list[float]:
        """Trains for `steps` steps, or as many as are left, and returns the loss of each.

        `train(model, batches, optimizer, bias_step)`, as in D4.3b, is called with one batch at a
        time; between two calls the learning rate and the bar move, and the model is measured.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        losses: list[float] = []
        for _ in range(min(steps, self.steps - self.done)):
            losses += self.loop.step(train)
            self._advance()
        return losses

    def batches(self, steps: int) -> NoReturn:
        """Raises a TypeError that says how to train: this is how it was done up to 0.1.0."""
        raise TypeError(
            "StoryRun no longer trains while its batches are iterated: write "
            f"run.train(train, {steps}) in place of "
            f"train(model, run.batches({steps}), run.optimizer, run.bias_step)"
        )

    def _advance(self) -> None:
        """Moves the bar on by one step, and measures where it is time to."""
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
