"""D4, the reference: a complete DeepSeek, made of the parts of D1, D2 and D3.

Letters: B batch, L positions, D = d_model, V = vocab_size, E = num_experts, K = top_k.
V2p is arXiv 2405.04434; V3p is arXiv 2412.19437.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.checkpoints.loading import loaded, use_v2_routers
from helpers.checkpoints.written import write_folder
from helpers.measuring.traffic import layers_of
from helpers.model.attention_ways import QUERY_BLOCK, absorbs, attended_in_blocks, can_absorb
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.interfaces import CachingModel
from helpers.model.llama import RMSNorm, SwiGLU
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance
from solutions.d3_mla import (
    LatentCache,
    MultiHeadLatentAttention,
    absorbed_decode,
    attend,
    yarn_frequencies,
)


class DeepSeekBlock(nn.Module):
    """One layer: attention and a feed-forward part, each behind a norm and beside a residual.

    `attention_norm` and `ffn_norm` are RMSNorms of `config.norm_eps`; `attention` is
    `MultiHeadLatentAttention(**config.attention())`; `ffn` `DeepSeekMoE(**config.experts())`, or a
    SwiGLU of width `config.dense_dim` in the first `config.dense_layers` layers. `layer` counts
    from 0 (`Block` in DeepSeek-V3's inference/model.py). `attended` is `attention` by whichever way
    is cheapest: `decode` 'expand' or 'absorb' forces one for new tokens that come one by one.
    """

    decode = "auto"

    def __init__(self, config: DeepSeekConfig, layer: int):
        super().__init__()
        # BEGIN SOLUTION
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.attention = MultiHeadLatentAttention(**config.attention())
        self.ffn_norm = RMSNorm(config.d_model, config.norm_eps)
        is_dense = layer < config.dense_layers
        self.ffn = (
            SwiGLU(config.d_model, config.dense_dim)
            if is_dense
            else DeepSeekMoE(**config.experts())
        )
        # END SOLUTION

    def forward(
        self, x: Float[Tensor, "B L D"], cache: LatentCache | None = None
    ) -> Float[Tensor, "B L D"]:
        # BEGIN SOLUTION
        x = x + self.attended(self.attention_norm(x), cache)
        return x + self.ffn(self.ffn_norm(x))
        # END SOLUTION

    def attended(
        self, x: Float[Tensor, "B L D"], cache: LatentCache | None = None
    ) -> Float[Tensor, "B L D"]:
        """`self.attention(x, cache)`; a long x in blocks, one new token without expanding."""
        # an empty cache counts as false
        if cache and absorbs(self.decode, x.shape[1], len(cache)) and can_absorb(self.attention):
            return absorbed_decode(self.attention, x, cache)
        if x.shape[1] > QUERY_BLOCK:
            return attended_in_blocks(self.attention, attend, x, cache)
        return self.attention(x, cache)


class DeepSeek(nn.Module):
    """DeepSeek's decoder: embedding, blocks, a last norm, and a head with weights of its own.

    `model(ids)` returns logits. With `caches`, one per layer as `new_caches` makes them, `ids` are
    the positions after those that the caches hold.
    """

    def __init__(self, config: DeepSeekConfig):
        super().__init__()
        self.config = config = config.stretched(yarn_frequencies)
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks: Any = nn.ModuleList(
            DeepSeekBlock(config, layer) for layer in range(config.num_layers)
        )
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        use_v2_routers(self, config)

    def hidden(
        self, ids: Int[Tensor, "B L"], caches: Sequence[LatentCache] | None = None
    ) -> Float[Tensor, "B L D"]:
        """What the head reads: the state of each position after the last norm."""
        # BEGIN SOLUTION
        x = self.embed(ids)
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i])
        return self.norm(x)
        # END SOLUTION

    def forward(
        self, ids: Int[Tensor, "B L"], caches: Sequence[LatentCache] | None = None
    ) -> Float[Tensor, "B L V"]:
        return self.head(self.hidden(ids, caches))

    def new_caches(self, batch: int, capacity: int) -> list[LatentCache]:
        """An empty cache for each layer."""
        return [block.attention.new_cache(batch, capacity) for block in self.blocks]

    @classmethod
    def from_hf(cls, model_or_folder: Any) -> "DeepSeek":
        """The same model as a released V2, V3, or one of their kinds, or as one of transformers'.

        Takes a model of transformers or a local folder with config.json and safetensors, whose
        weights stay mapped from the files. Raises a ValueError with one sentence for what this
        model does not compute, and for a tensor that is missing, left over, or of another shape;
        layers for multi-token prediction are ignored.
        """
        return loaded(cls, model_or_folder, yarn_frequencies)

    def to_hf(self, folder: str | Path, **tokenizer: Any) -> None:
        """Writes the model as a folder that transformers opens: configuration and safetensors.

        `tokenizer` and `end_of_text` write those of a `Corpus` beside it. Raises a ValueError, and
        writes nothing, for segments and whatever else no released model has.
        """
        write_folder(Path(folder), self.config, self.state_dict(), **tokenizer)


def count_parameters(config: DeepSeekConfig) -> tuple[int, int]:
    """All parameters of `DeepSeek(config)`, and those that one token uses.

    Of a layer's E experts (`config.num_experts`) a token uses K (`top_k`), or with m segments
    (`num_segments`) up to m·K, but never more than E; the whole input embedding counts.
    On the meta device the model's weights take no memory.
    """
    with torch.device("meta"):
        model = DeepSeek(config)
    # layers_of(model) returns the layers that have experts
    # BEGIN SOLUTION
    total = sum(p.numel() for p in model.parameters())
    used = min(config.top_k * config.num_segments, config.num_experts)
    idle = 0
    for layer in layers_of(model):
        experts = sum(p.numel() for p in layer.experts.parameters())
        idle += experts // config.num_experts * (config.num_experts - used)
    return total, total - idle
    # END SOLUTION


def masked_loss(
    logits: Float[Tensor, "B L V"], targets: Int[Tensor, "B L"], real: Bool[Tensor, "B L"]
) -> Float[Tensor, ""]:
    """The mean cross-entropy, in nats, over the targets marked in `real`."""
    # BEGIN SOLUTION
    marked = targets.masked_fill(~real, -100)  # cross_entropy leaves out targets of -100
    return F.cross_entropy(logits.flatten(0, 1), marked.flatten())
    # END SOLUTION


def train(
    model: nn.Module,
    batches: Iterable[tuple[Int[Tensor, "B N"], Bool[Tensor, "B N"]]],
    optimizer: torch.optim.Optimizer,
    bias_step: Callable[[], float],
) -> list[float]:
    """Trains `model` on each batch and returns the loss of each, in nats per token.

    A batch is ids and which of them are real. The first N - 1 go in, the last N - 1 are the
    targets. A step follows the gradient of its batch alone, clipped to norm 1 over all parameters;
    after the optimiser, `bias_step()`, asked anew for each batch, says by how much the bias of
    every layer of experts moves, by the load of the real tokens that went in.
    """
    losses = []
    for ids, real in batches:
        # rebalance(layer, real, step) moves the bias of a layer by the load of the tokens that
        # `real` (B, L) marks
        # BEGIN SOLUTION
        loss = masked_loss(model(ids[:, :-1]), ids[:, 1:], real[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        for layer in layers_of(model):
            rebalance(layer, real[:, :-1], bias_step())
        losses.append(loss.item())
        # END SOLUTION
    return losses


def sample(logits: Float[Tensor, "B V"], temperature: float | int) -> Int[Tensor, " B"]:
    """One token per row: drawn from softmax(logits / temperature), or the best one at 0.

    Draws come from torch's default generator, so that `torch.manual_seed` repeats them.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, got {temperature}")
    # BEGIN SOLUTION
    if temperature == 0:
        return logits.argmax(dim=-1)
    probs = (logits / temperature).softmax(dim=-1)
    return torch.multinomial(probs, 1).squeeze(-1)
    # END SOLUTION


@torch.no_grad()
def generate(
    model: CachingModel,
    ids: Int[Tensor, "B L"],
    max_new_tokens: int,
    *,
    temperature: float | int,
    use_cache: bool = True,
) -> Int[Tensor, "B N"]:
    """The prompt `ids` and `max_new_tokens` more, N = L + max_new_tokens.

    With the cache, that is the caches of `model.new_caches(batch, capacity)`, the first call feeds
    the whole prompt and each later one only the newest token; without it, each feeds the whole
    text. The model stays in the mode in which it came.
    """
    # BEGIN SOLUTION
    capacity = ids.shape[1] + max_new_tokens
    caches = model.new_caches(len(ids), capacity) if use_cache else None
    new = ids
    for _ in range(max_new_tokens):
        logits = model(new, caches) if use_cache else model(ids)
        new = sample(logits[:, -1], temperature)[:, None]
        ids = torch.cat([ids, new], dim=1)
    return ids
    # END SOLUTION


class MultiTokenPrediction(nn.Module):
    """V3's extra layer: from a position's hidden state and the next token's embedding, the hidden
    state from which `model.head` predicts the token after next (V3p, section 2.2, eqs. 21-23).

    `hidden` is what the main model has after its last norm, as transformers and vLLM feed it.
    Embedding and hidden state, each normed, are joined in the order of the released weights,
    embedding first; eq. 21 prints them the other way round. A cache is that of the block.
    """

    def __init__(self, config: DeepSeekConfig):
        super().__init__()
        self.embed_norm = RMSNorm(config.d_model, config.norm_eps)
        self.hidden_norm = RMSNorm(config.d_model, config.norm_eps)
        self.join = nn.Linear(2 * config.d_model, config.d_model, bias=False)
        self.block = DeepSeekBlock(config, layer=config.num_layers)
        self.norm = RMSNorm(config.d_model, config.norm_eps)

    def forward(
        self,
        hidden: Float[Tensor, "B L D"],
        next_embedding: Float[Tensor, "B L D"],
        cache: LatentCache | None = None,
    ) -> Float[Tensor, "B L D"]:
        # BEGIN SOLUTION
        both = torch.cat([self.embed_norm(next_embedding), self.hidden_norm(hidden)], dim=-1)
        return self.norm(self.block(self.join(both), cache))
        # END SOLUTION


def worth(
    with_part: Float[Tensor, " seeds"], without: Float[Tensor, " seeds"]
) -> tuple[float, float]:
    """How much loss a part saves: the mean difference over seeds, and its standard error.

    Entry i of both comes from the same seed, so differences are taken seed by seed; the error is
    the sample standard deviation over the square root of their number. At least two seeds.
    """
    # BEGIN SOLUTION
    saved = without - with_part
    return float(saved.mean()), float(saved.std() / len(saved) ** 0.5)
    # END SOLUTION
