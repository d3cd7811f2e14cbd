"""What a training says while it runs, and the checkpoints it leaves: after some of its steps."""

import time
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from solutions.d1_moe import load_cv
from solutions.train import checkpoints
from solutions.train.data import Data
from solutions.train.loop import Report, held_out_loss
from solutions.train.processes import Processes


@dataclass
class Telling:
    """Called after each step by every process; the first one speaks."""

    chosen: Namespace
    group: Processes
    model: nn.Module
    optimizer: torch.optim.Optimizer
    data: Data
    say: Callable[..., None]
    tokens: int = 0
    since: float = field(default_factory=time.monotonic)

    def after(self, report: Report) -> None:
        """Tells of every `--show-every`th step, and saves every `--save-every`th and the last."""
        done, last = report.step + 1, report.step + 1 == self.chosen.steps
        self.tokens += report.tokens
        if done % self.chosen.show_every == 0 or last:
            self._tell(report)
        if done % self.chosen.save_every == 0 or last:
            checkpoints.save(self.chosen.folder, done, self.model, self.optimizer)

    def _tell(self, report: Report) -> None:
        speed = self.tokens / (time.monotonic() - self.since)
        held = held_out_loss(self.model, self.data.held_out.batch(0), self.group)
        balance = max((load_cv(load) for load in report.loads), default=0.0)
        self.say(
            f"step {report.step + 1} of {self.chosen.steps}: loss {report.loss:.3f}, "
            f"held out {held:.3f} nats per token, CV of the load at most {balance:.2f}, "
            f"{speed:,.0f} tokens/s",
            flush=True,
        )
        self.tokens, self.since = 0, time.monotonic()
