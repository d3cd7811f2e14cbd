"""Our model beside transformers', the best of its ways: training, generation, decode, prefill.

Both have the same weights, the same optimiser with the same flags, and the same loss.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.utils import logging

from benchmarks.compared import Compared, compared
from benchmarks.models import SIZES, expert_ways, ours, theirs
from solutions.d4_deepseek import DeepSeek, generate

ATTENTIONS = ("eager", "sdpa")
ASKED = {"d4": 1.0, "wide": 1.25, "generation": 2.0, "prefill": 1.0, 4096: 5.0, 16_384: 10.0}
PART = 1024  # tokens of a long text that transformers reads at once
STEPS = 8  # tokens of a decode that are timed together


def rows() -> Iterator[Compared]:
    """Each row of the table, as it is measured."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        yield _training("d4", threads)
        yield _training("wide", threads)
        yield _generation(threads)
        yield _prefill(threads)
        for context in SIZES["long"]["contexts"]:
            yield _decode(context, threads)


def _pair(name: str, tokens: int) -> tuple[Any, dict[str, nn.Module]]:
    """Ours, and transformers' model of the same weights by each way of so many tokens at once."""
    model = ours(name)
    with tempfile.TemporaryDirectory() as folder:
        model.to_hf(folder)
        models = {
            f"{experts}, {attention}": theirs(Path(folder), experts, attention)
            for experts in expert_ways(name, tokens)
            for attention in ATTENTIONS
        }
    return model, models


def _training(name: str, threads: int) -> Compared:
    model, others = _pair(name, SIZES[name]["batch"] * SIZES[name]["length"])
    calls = {way: training_step(name, other) for way, other in others.items()}
    what = f"training step, {SIZES[name]['what']}"
    return compared(what, threads, ASKED[name], training_step(name, model), calls)


def training_step(name: str, model: Any) -> Callable[[], None]:
    """A call that trains ours or transformers' model by one step on a batch of these sizes."""
    size, generator = SIZES[name], torch.Generator().manual_seed(1)
    shape = size["batch"], size["length"] + 1
    ids = torch.randint(size["vocabulary"], shape, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)

    def step() -> None:
        given = model(ids[:, :-1]) if isinstance(model, DeepSeek) else _their_logits(model, ids)
        loss = F.cross_entropy(given.flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def _their_logits(model: Any, ids: Tensor) -> Tensor:
    return model(ids[:, :-1], use_cache=False).logits


def _generation(threads: int) -> Compared:
    sizes = SIZES["generation"]
    prompt, new = torch.arange(sizes["prompt"])[None], sizes["new"]
    model, others = _pair("d4", sizes["prompt"])

    def of(other: Any) -> Callable[[], object]:
        options = {"max_new_tokens": new, "min_new_tokens": new, "do_sample": False}
        return lambda: other.generate(prompt, attention_mask=torch.ones_like(prompt), **options)

    what = f"generation, {sizes['prompt']} tokens and {new} more"
    calls = {way: of(other) for way, other in others.items()}
    return compared(
        what,
        threads,
        ASKED["generation"],
        lambda: generate(model, prompt, new, temperature=0),
        calls,
    )


@torch.no_grad()
def _prefill(threads: int) -> Compared:
    ids = torch.arange(4096)[None] % SIZES["long"]["vocabulary"]
    model, others = _pair("long", ids.shape[1])
    calls = {
        way: torch.no_grad()(lambda other=other: other(ids, logits_to_keep=1))
        for way, other in others.items()
    }

    @torch.no_grad()
    def own() -> None:
        caches = model.new_caches(1, ids.shape[1])
        model.head(model.hidden(ids, caches)[:, -1:])

    return compared("prefill of 4,096 tokens", threads, ASKED["prefill"], own, calls)


@torch.no_grad()
def _decode(context: int, threads: int) -> Compared:
    """A few tokens after a long text, the cache cut back before each turn."""
    model, others = _pair("long", 1)
    ids = torch.arange(context)[None] % SIZES["long"]["vocabulary"]
    new = torch.tensor([[1]])
    caches = model.new_caches(1, context + STEPS)
    model(ids, caches)

    @torch.no_grad()
    def own() -> None:
        for cache in caches:
            cache.truncate(context)
        for _ in range(STEPS):
            model(new, caches)

    cache = _read(others["eager, sdpa"], ids)
    calls = {way: _their_decode(other, deepcopy(cache), new) for way, other in others.items()}
    what = f"decode after {context:,} tokens"
    return compared(what, threads, ASKED[context], own, calls)


@torch.no_grad()
def _read(model: Any, ids: Tensor) -> DynamicCache:
    """The cache after a text, in parts: all scores at once take gigabytes."""
    cache = DynamicCache()
    for part in ids.split(PART, dim=1):
        model(part, past_key_values=cache, logits_to_keep=1)
    return cache


def _their_decode(model: Any, cache: DynamicCache, new: Tensor) -> Callable[[], None]:
    context = cache.get_seq_length()

    @torch.no_grad()
    def step() -> None:
        if (spoken := cache.get_seq_length() - context) > 0:
            cache.crop(-spoken)
        for _ in range(STEPS):
            model(new, past_key_values=cache)

    return step


def table(found: Iterable[Compared]) -> Iterator[str]:
    """The lines of the table in Markdown, each row as soon as it is measured."""
    yield "| what | threads | ours | transformers' best | over ours | asked | |"
    yield "|---|---|---|---|---|---|---|"
    for row in found:
        spread = f"{row.ratio:.2f} ({row.lower_quartile:.2f} to {row.upper_quartile:.2f})"
        yield (
            f"| {row.what} | {row.threads} | {row.ours:,.1f} {row.unit} "
            f"| {row.theirs:,.1f} {row.unit}, {row.way} "
            f"| {spread} | {row.asked:g} | {'met' if row.is_met else 'not met'} |"
        )
