"""A training run on stories that goes on where it stopped, and what it measures on the way."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from tqdm import tqdm

from helpers.story_measures import Generate, held_out, sample_stories, story_scores
from helpers.story_rows import StoryRows

WARM_UP = 30  # steps
MEASURED = 48  # stories sampled for a point of the coherence curve
ANNEALED = 0.3  # the share of the run over which the bias' step goes down to 0


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
    """The optimiser, schedule and batches of a run of `steps` steps, resumable.

    AdamW with linear warm-up and linear decay to 0; the step of the balancing bias is `bias` and
    goes down to 0 over the last part, as V3 freezes its own. `points` holds what was measured
    every `every` steps.
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
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate)
        self.bar = tqdm(total=steps, desc="training", unit="step", mininterval=0.5)
        self.done, self.points = 0, []

    def batches(self, steps: int) -> Iterator[tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]]:
        """The next `steps` batches, or as many as are left of the run; cut to their longest row."""
        for _ in range(min(steps, self.steps - self.done)):
            picked = torch.randint(len(self.rows.ids), (self.batch,), generator=self.generator)
            ids, real = self.rows.ids[picked], self.rows.real[picked]
            length = int(real.sum(1).max())
            yield ids[:, :length], real[:, :length]
            self._stepped()

    def bias_step(self) -> float:
        """How far a balancing bias moves after the current batch."""
        left = (self.steps - 1 - self.done) / max(1.0, ANNEALED * self.steps)
        return self.bias * min(1.0, left)

    def _stepped(self) -> None:
        self.schedule.step()
        self.done += 1
        self.bar.update()
        if self.done % self.every == 0 or self.done == self.steps:
            self.points.append(self._measured())
            point = self.points[-1]
            found = f"held-out loss {point.loss:.3f}, coherent {point.coherent:.0%}"
            balance = f", CV {max(point.cvs):.3f}" if point.cvs else ""
            self.bar.set_postfix_str(found + balance)
        if self.done == self.steps:
            self.bar.close()

    def _measured(self) -> Point:
        found = held_out(self.model, self.rows, count=100)
        coherent = 0.0
        if self.generate is not None:
            texts = sample_stories(self.model, self.rows, self.generate, MEASURED)
            coherent = story_scores(texts, self.rows).coherent
        return Point(self.done, found.loss, found.told, coherent, tuple(found.cvs))

    def _rate(self, step: int) -> float:
        warm_up = min(WARM_UP, self.steps)
        return min((step + 1) / warm_up, (self.steps - step) / (self.steps - warm_up + 1))
