"""What a training says while it runs, and the checkpoints it leaves: after some of its steps."""

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field

from helpers.training_loops.loop import TrainingLoop
from solutions.d1_moe import load_cv
from solutions.train import checkpoints
from solutions.train.data import Data
from solutions.train.together import Together


@dataclass
class Telling:
    """Called after each step by every process; the first one speaks."""

    chosen: Namespace
    loop: TrainingLoop
    together: Together
    data: Data
    say: Callable[..., None]
    tokens: int = 0
    since: float = field(default_factory=time.monotonic)

    def after(self, loss: float) -> None:
        """Tells of every `--show-every`th step, and saves every `--save-every`th and the last."""
        loop, last = self.loop, self.loop.done == self.loop.steps
        self.tokens += self.together.tokens
        if loop.done % self.chosen.show_every == 0 or last:
            self._tell(loss)
        if loop.done % self.chosen.save_every == 0 or last:
            checkpoints.save(self.chosen.folder, loop.done, loop.model, loop.optimizer)

    def _tell(self, loss: float) -> None:
        speed = self.tokens / (time.monotonic() - self.since)
        held = self.together.measured(self.loop.model, self.data.held_out.batch(0))
        balance = max((load_cv(load) for load in self.together.loads), default=0.0)
        self.say(
            f"step {self.loop.done} of {self.loop.steps}: loss {loss:.3f}, "
            f"held out {held:.3f} nats per token, CV of the load at most {balance:.2f}, "
            f"{speed:,.0f} tokens/s",
            flush=True,
        )
        self.tokens, self.since = 0, time.monotonic()
