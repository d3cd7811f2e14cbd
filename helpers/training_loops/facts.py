"""Trains a model on questions with one answer each, and counts the answers that it knows.

A model takes ids `(B, L)` and returns logits `(B, L, V)`, as `helpers.model.llama.Decoder` does.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from helpers.data.facts import Facts
from helpers.model.device import device_of

WARM_UP = 50

AfterStep = Callable[[int, nn.Module], None]


class FactTraining:
    """A training of `steps` steps that can be cut in parts: each `.run` goes on from the last.

    Every step asks `rows` questions, and none comes again before all have been asked. `.losses`
    holds the cross-entropy of each batch, in nats per answer, and `.seconds` the processor time of
    each step. AdamW without weight decay; the rate rises over 50 steps to `lr` and falls linearly
    to 0. `after_step(step, model)` runs without gradients.
    """

    def __init__(
        self,
        model: nn.Module,
        facts: Facts,
        steps: int,
        *,
        lr: float,
        rows: int = 1024,
        seed: int = 0,
        after_step: AfterStep | None = None,
    ):
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        if not 1 <= rows <= len(facts):
            raise ValueError(f"rows must be between 1 and the {len(facts)} facts, got {rows}")
        self.model, self.facts, self.steps, self.rows = model, facts, steps, rows
        self.after_step = after_step
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self._generator = torch.Generator().manual_seed(seed)
        self._left = torch.empty(0, dtype=torch.long)
        self._optimizer = torch.optim.AdamW(
            model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0
        )
        self._schedule = LambdaLR(
            self._optimizer, lambda step: min((step + 1) / WARM_UP, 1 - step / steps)
        )

    def run(self, steps: int) -> None:
        """Trains for `steps` more steps, or for as many as are left."""
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        done = len(self.losses)
        left = range(done, min(done + steps, self.steps))
        self.model.train()
        for step in tqdm(left, desc="training", unit="step", initial=done, total=self.steps):
            start = time.process_time()
            self.losses.append(self._train_step(step))
            self.seconds.append(time.process_time() - start)

    def _train_step(self, step: int) -> float:
        picked = self._next_rows()
        loss = _loss(self.model, self.facts.asked[picked], self.facts.answer[picked])
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        if self.after_step is not None:
            with torch.no_grad():
                self.after_step(step, self.model)
        return loss.item()

    def _next_rows(self) -> Tensor:
        if len(self._left) < self.rows:
            self._left = torch.randperm(len(self.facts), generator=self._generator)
        picked, self._left = self._left.split([self.rows, len(self._left) - self.rows])
        return picked


@torch.no_grad()
def recalled(model: nn.Module, facts: Facts) -> tuple[float, float]:
    """The share of the questions whose answer the model thinks likeliest, and the mean loss."""
    was_training = model.training
    model.eval()
    where = device_of(model)
    logits = model(facts.asked.to(where))[:, -1]
    model.train(was_training)
    answer = facts.answer.to(where)
    right = (logits.argmax(dim=-1) == answer).float().mean()
    return right.item(), F.cross_entropy(logits, answer).item()


def _loss(model: nn.Module, asked: Tensor, answer: Tensor) -> Tensor:
    where = device_of(model)
    return F.cross_entropy(model(asked.to(where))[:, -1], answer.to(where))
