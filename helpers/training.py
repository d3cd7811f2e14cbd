"""Trains a language model on a corpus, and measures it on texts that were held out.

A model takes ids `(B, L)` and gives logits `(B, L, V)`, as `helpers.llama.Decoder` does.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from helpers.corpus import Corpus

WARM_UP = 30  # steps
MAX_GRADIENT_NORM = 1.0


def train_lm(
    model: nn.Module,
    corpus: Corpus,
    steps: int,
    rows: int = 16,
    length: int = 64,
    lr: float = 2e-3,
    seed: int = 0,
    after_step: Callable[[int, nn.Module], None] | None = None,
    extra_loss: Callable[[nn.Module], Float[Tensor, ""]] | None = None,
) -> list[float]:
    """Trains `model` for `steps` batches and gives the cross-entropy of each, in nats a token.

    Two models trained with the same seed see the same batches. `extra_loss(model)` is added to
    what is minimised and not to what is given back; `after_step(step, model)` runs without
    gradients. AdamW with linear warm-up and linear decay to zero.
    """
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    model.train()
    losses = []
    bar = tqdm(range(steps), desc="training", unit="step", mininterval=0.5)
    for step in bar:
        ids, _ = corpus.batch(rows, length, generator)
        loss = _token_loss(model, ids).mean()
        extra = 0.0 if extra_loss is None else extra_loss(model)
        optimizer.zero_grad()
        (loss + extra).backward()
        nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        if after_step is not None:
            with torch.no_grad():
                after_step(step, model)
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    return losses


def held_out_loss(
    model: nn.Module, corpus: Corpus, rows_per_domain: int = 32, length: int = 64
) -> float:
    """The mean cross-entropy in nats a token on held-out texts; every domain counts the same."""
    by_domain = held_out_loss_by_domain(model, corpus, rows_per_domain, length)
    return sum(by_domain.values()) / len(by_domain)


@torch.no_grad()
def held_out_loss_by_domain(
    model: nn.Module, corpus: Corpus, rows_per_domain: int = 32, length: int = 64
) -> dict[str, float]:
    """The mean cross-entropy in nats a token on the held-out texts of each domain."""
    ids, domain = corpus.held_out(rows_per_domain, length)
    was_training = model.training
    model.eval()
    loss = torch.cat([_token_loss(model, part) for part in ids.split(rows_per_domain)])
    model.train(was_training)
    return {name: loss[domain == i].mean().item() for i, name in enumerate(corpus.domains)}


def _token_loss(model: nn.Module, ids: Tensor) -> Float[Tensor, "B L"]:
    """The cross-entropy of each token after the first, given those before it."""
    logits = model(ids[:, :-1])
    return F.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate that `step` takes: up for the first steps, then down to 0."""
    warm_up = min(WARM_UP, steps)
    return min((step + 1) / warm_up, (steps - step) / (steps - warm_up + 1))
