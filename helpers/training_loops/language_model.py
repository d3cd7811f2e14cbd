"""Trains a language model on a corpus, and measures it on held-out texts.

A model takes ids `(B, L)` and returns logits `(B, L, V)`, as `helpers.model.llama.Decoder` does.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from helpers.data.corpus import Corpus
from helpers.model.device import device_of
from helpers.training_loops.optimiser import optimiser_and_schedule

MAX_GRADIENT_NORM = 1.0

AfterStep = Callable[[int, nn.Module], None]
ExtraLoss = Callable[[nn.Module], Float[Tensor, ""]]


class Training:
    """A training of `steps` steps that can be cut in parts: each `.run` goes on from the last.

    `.losses` holds the cross-entropy of each batch so far, in nats per token. Two models trained
    with the same seed see the same batches. `extra_loss(model)` is added to what is minimised but
    not to the losses; `after_step(step, model)` runs without gradients. AdamW with linear warm-up
    and linear decay to zero at the end of `steps`, whatever the parts.
    """

    def __init__(
        self,
        model: nn.Module,
        corpus: Corpus,
        steps: int,
        rows: int = 16,
        length: int = 64,
        lr: float = 2e-3,
        seed: int = 0,
        after_step: AfterStep | None = None,
        extra_loss: ExtraLoss | None = None,
    ):
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        self.model, self.corpus, self.steps = model, corpus, steps
        self.rows, self.length = rows, length
        self.after_step, self.extra_loss = after_step, extra_loss
        self.losses: list[float] = []
        self._generator = torch.Generator().manual_seed(seed)
        self._optimizer, self._schedule = optimiser_and_schedule(model, lr, steps)

    def run(self, steps: int) -> None:
        """Trains for `steps` more steps, or for as many as are left.

        The bar shows the whole training; after the last step a call only shows the full bar.
        """
        if steps < 1:
            raise ValueError(f"steps must be at least 1, got {steps}")
        done = len(self.losses)
        left = range(done, min(done + steps, self.steps))
        bar = tqdm(
            left, desc="training", unit="step", mininterval=0.5, initial=done, total=self.steps
        )
        self._show_loss(bar)
        self.model.train()
        for step in bar:
            self.losses.append(self._train_step(step))
            self._show_loss(bar)

    def _train_step(self, step: int) -> float:
        ids, _ = self.corpus.batch(self.rows, self.length, self._generator)
        loss = _token_loss(self.model, ids).mean()
        extra = 0.0 if self.extra_loss is None else self.extra_loss(self.model)
        self._optimizer.zero_grad()
        (loss + extra).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)
        self._optimizer.step()
        self._schedule.step()
        if self.after_step is not None:
            with torch.no_grad():
                self.after_step(step, self.model)
        return loss.item()

    def _show_loss(self, bar: tqdm) -> None:
        if self.losses:
            bar.set_postfix(loss=f"{self.losses[-1]:.3f}", refresh=False)


def train_lm(
    model: nn.Module,
    corpus: Corpus,
    steps: int,
    rows: int = 16,
    length: int = 64,
    lr: float = 2e-3,
    seed: int = 0,
    after_step: AfterStep | None = None,
    extra_loss: ExtraLoss | None = None,
) -> list[float]:
    """Trains `model` for all of `steps` at once, as `Training` does, and returns its losses."""
    training = Training(model, corpus, steps, rows, length, lr, seed, after_step, extra_loss)
    training.run(steps)
    return training.losses


def held_out_loss(
    model: nn.Module, corpus: Corpus, rows_per_domain: int = 32, length: int = 64
) -> float:
    """The mean cross-entropy on held-out texts, in nats per token; every domain counts the same."""
    by_domain = held_out_loss_by_domain(model, corpus, rows_per_domain, length)
    return sum(by_domain.values()) / len(by_domain)


@torch.no_grad()
def held_out_loss_by_domain(
    model: nn.Module, corpus: Corpus, rows_per_domain: int = 32, length: int = 64
) -> dict[str, float]:
    """The mean cross-entropy on the held-out texts of each domain, in nats per token."""
    ids, domain = corpus.held_out(rows_per_domain, length)
    was_training = model.training
    model.eval()
    loss = torch.cat([_token_loss(model, part).cpu() for part in ids.split(rows_per_domain)])
    model.train(was_training)
    return {name: loss[domain == i].mean().item() for i, name in enumerate(corpus.domains)}


def _token_loss(model: nn.Module, ids: Tensor) -> Float[Tensor, "B L"]:
    """The cross-entropy of each token after the first, given those before it."""
    ids = ids.to(device_of(model))
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
