"""Whether D1's experts specialise by domain, beside an untrained router and shuffled domains."""

from functools import cache
from typing import Any

import torch

from helpers.data.corpus import Corpus
from helpers.measuring.specialisation import in_every_group, shuffled, spread_between
from helpers.measuring.traffic import chosen_experts
from helpers.model.llama import Decoder
from helpers.training_loops.language_model import train_lm
from solutions.d1_moe import MoELayer

SEEDS = (0, 1, 2)
D_MODEL, NUM_EXPERTS, TOP_K, EXPERT_DIM = 256, 4, 2, 512


def measure(seed: int) -> dict[str, Any]:
    """Per layer the spread of relative load between domains, before and after training."""
    torch.manual_seed(seed)
    model = Decoder(
        corpus().vocab_size,
        D_MODEL,
        2,
        4,
        lambda: MoELayer(D_MODEL, NUM_EXPERTS, TOP_K, EXPERT_DIM),
    )
    untrained = spreads(model, seed)
    train_lm(model, corpus(), steps=150, rows=8, seed=seed)
    return {"untrained": untrained, "trained": spreads(model, seed)}


def spreads(model: Decoder, seed: int) -> dict[str, list[float]]:
    """Per layer over all tokens, over those that all domains have, and with domains shuffled."""
    ids, domain = corpus().held_out(rows_per_domain=32, length=64)
    tokens = ids[:, :-1].flatten()
    groups = domain.repeat_interleave(ids.shape[1] - 1)
    mixed = shuffled(groups, seed)
    common = in_every_group(tokens, groups)
    layers = chosen_experts(model, ids[:, :-1])
    return {
        "all tokens": [spread_between(e, groups, NUM_EXPERTS) for e in layers],
        "tokens of every domain": [
            spread_between(e[common], groups[common], NUM_EXPERTS) for e in layers
        ],
        "domains shuffled": [spread_between(e, mixed, NUM_EXPERTS) for e in layers],
    }


@cache
def corpus() -> Corpus:
    return Corpus.build(vocab_size=1024)
