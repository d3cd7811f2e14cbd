"""D4, the reference: a complete DeepSeek, of the parts of D1, D2 and D3.

Letters: B batch, L positions, D = d_model, V = vocab_size, E = num_experts, K = top_k.
V2p is arXiv 2405.04434; V3p is arXiv 2412.19437.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.hf_model import read_model
from helpers.llama import RMSNorm, SwiGLU
from helpers.traffic import layers_of
from solutions.d2_deepseek_moe import DeepSeekMoE, rebalance
from solutions.d3_mla import LatentCache, MultiHeadLatentAttention


@dataclass(frozen=True, kw_only=True)
class DeepSeekConfig:
    """The sizes and options of a DeepSeek; the first `dense_layers` layers have no experts."""

    vocab_size: int
    num_layers: int
    d_model: int
    num_heads: int
    d_head: int
    d_latent: int
    d_rope: int
    num_experts: int
    top_k: int
    expert_dim: int
    num_shared: int
    dense_layers: int = 0
    dense_dim: int = 0
    q_latent: int | None = None
    d_value: int | None = None  # None: as wide as d_head
    num_segments: int = 1
    affinity: str = "sigmoid"
    renormalise: bool = True
    scale: float = 1.0
    num_groups: int = 1
    top_groups: int = 1
    theta: float = 10_000.0
    norm_eps: float = 1e-6

    @classmethod
    def v3(cls) -> "DeepSeekConfig":
        """DeepSeek-V3 (V3p, section 4.2; inference/configs/config_671B.json), without YaRN."""
        return cls(
            vocab_size=129_280,
            num_layers=61,
            d_model=7168,
            num_heads=128,
            d_head=128,
            d_latent=512,
            d_rope=64,
            q_latent=1536,
            num_experts=256,
            top_k=8,
            expert_dim=2048,
            num_shared=1,
            dense_layers=3,
            dense_dim=18_432,
            scale=2.5,
            num_groups=8,
            top_groups=4,
        )

    @classmethod
    def v2_lite(cls) -> "DeepSeekConfig":
        """DeepSeek-V2-Lite (V2p, appendix B; inference/configs/config_16B.json), without YaRN."""
        return cls(
            vocab_size=102_400,
            num_layers=27,
            d_model=2048,
            num_heads=16,
            d_head=128,
            d_latent=512,
            d_rope=64,
            num_experts=64,
            top_k=6,
            expert_dim=1408,
            num_shared=2,
            dense_layers=1,
            dense_dim=10_944,
            affinity="softmax",
            renormalise=False,
        )

    def attention(self) -> MultiHeadLatentAttention:
        """A new attention of these sizes."""
        return MultiHeadLatentAttention(
            self.d_model,
            self.num_heads,
            self.d_head,
            self.d_latent,
            self.d_rope,
            q_latent=self.q_latent,
            d_value=self.d_value,
            theta=self.theta,
        )

    def ffn(self, layer: int) -> nn.Module:
        """A new feed-forward part: a SwiGLU in the first `dense_layers` layers, then experts."""
        if layer < self.dense_layers:
            return SwiGLU(self.d_model, self.dense_dim)
        return DeepSeekMoE(
            self.d_model,
            self.num_experts,
            self.top_k,
            self.expert_dim,
            self.num_shared,
            num_segments=self.num_segments,
            affinity=self.affinity,
            renormalise=self.renormalise,
            scale=self.scale,
            num_groups=self.num_groups,
            top_groups=self.top_groups,
        )


class DeepSeekBlock(nn.Module):
    """One layer: attention and a feed-forward part, each behind a norm and beside a residual.

    `layer` counts from 0; the first `config.dense_layers` have a dense feed-forward part
    (`Block` in DeepSeek-V3's inference/model.py).
    """

    def __init__(self, config: DeepSeekConfig, layer: int):
        super().__init__()
        self.attention_norm = RMSNorm(config.d_model, config.norm_eps)
        self.attention = config.attention()
        self.ffn_norm = RMSNorm(config.d_model, config.norm_eps)
        self.ffn = config.ffn(layer)

    def forward(
        self, x: Float[Tensor, "B L D"], cache: LatentCache | None = None
    ) -> Float[Tensor, "B L D"]:
        # norm → attention, with the cache → residual; norm → feed-forward → residual
        # BEGIN SOLUTION
        x = x + self.attention(self.attention_norm(x), cache)
        return x + self.ffn(self.ffn_norm(x))
        # END SOLUTION


class DeepSeek(nn.Module):
    """DeepSeek's decoder: embedding, blocks, a last norm, and a head with weights of its own.

    `model(ids)` gives logits. With `caches`, one a layer as `new_caches` makes them, `ids` are the
    positions after those that the caches hold.
    """

    def __init__(self, config: DeepSeekConfig):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(
            DeepSeekBlock(config, layer) for layer in range(config.num_layers)
        )
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=False)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(
        self, ids: Int[Tensor, "B L"], caches: Sequence[LatentCache] | None = None
    ) -> Float[Tensor, "B L V"]:
        # embed → every block, each with its own cache if there are caches → norm → head
        # BEGIN SOLUTION
        x = self.embed(ids)
        for i, block in enumerate(self.blocks):
            x = block(x, None if caches is None else caches[i])
        return self.head(self.norm(x))
        # END SOLUTION

    def new_caches(self, batch: int, capacity: int) -> list[LatentCache]:
        """An empty cache for each layer."""
        return [block.attention.new_cache(batch, capacity) for block in self.blocks]

    @classmethod
    def from_hf(cls, model_or_folder: nn.Module | str | Path) -> "DeepSeek":
        """The same model as transformers' `DeepseekV3ForCausalLM` or V2-Lite's kind.

        Takes the model itself or a local folder with config.json and safetensors. Raises a
        ValueError with one sentence for YaRN, FP8 weights, V2's groups, and a tensor that is
        missing or has another shape; layers for multi-token prediction are ignored.
        """
        fields, weights = read_model(model_or_folder)
        model = cls(DeepSeekConfig(**fields)).to(weights["embed.weight"].dtype)
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1].strip()
            raise ValueError(f"the weights do not fit the parts of this model: {reason}") from None
        return model


def count_parameters(config: DeepSeekConfig) -> tuple[int, int]:
    """All parameters of `DeepSeek(config)`, and those that one token uses.

    Of a layer's E experts a token uses K, with segments up to m·K; the whole input embedding
    counts. The model is made on the meta device, so its numbers take no memory.
    """
    with torch.device("meta"):
        model = DeepSeek(config)
    # all parameters; then those of the experts that a token leaves alone, in each layer that has
    # experts → (total, total less those)
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
    # the cross-entropy of every target → those that are real → their mean
    # BEGIN SOLUTION
    loss = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")  # (B, L)
    return loss[real].mean()
    # END SOLUTION


def train(
    model: nn.Module,
    batches: Iterable[tuple[Int[Tensor, "B N"], Bool[Tensor, "B N"]]],
    optimizer: torch.optim.Optimizer,
    bias_step: Callable[[], float],
) -> list[float]:
    """Trains `model` on each batch and gives the loss of each, in nats a token.

    A batch is ids and which of them are real. The first N - 1 go in, the last N - 1 are the
    targets. Gradients are clipped to norm 1; after the optimiser, the bias of every layer of
    experts moves by `bias_step()`, by the load of the real tokens that went in.
    """
    losses = []
    for ids, real in batches:
        # loss of the next tokens → gradients, from zero → clip → optimiser → every bias, by the
        # real tokens fed in → losses
        # BEGIN SOLUTION
        loss = masked_loss(model(ids[:, :-1]), ids[:, 1:], real[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            for layer in layers_of(model):
                rebalance(layer, real[:, :-1], bias_step())
        losses.append(loss.item())
        # END SOLUTION
    return losses


def sample(logits: Float[Tensor, "B V"], temperature: float) -> Int[Tensor, " B"]:
    """One token for each row: drawn by softmax(logits / temperature), the best one at 0."""
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
    model: nn.Module,
    ids: Int[Tensor, "B L"],
    max_new_tokens: int,
    *,
    temperature: float,
    use_cache: bool = True,
) -> Int[Tensor, "B N"]:
    """The prompt `ids` and `max_new_tokens` more, N = L + max_new_tokens.

    With the cache each step feeds only the newest token; without it, the whole text each time.
    """
    # caches with room for all → logits of what is new, or of all → sample from the last position
    # → append → again
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
