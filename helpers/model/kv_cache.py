"""What a KV cache costs: numbers per token and layer, bytes at a context, and beside a baseline.

V2p is arXiv 2405.04434, by DeepSeek; its table 1 has the formulas.
"""

from dataclasses import dataclass

from helpers.model.attention_sizes import validate_sizes
from helpers.model.published import (
    LLAMA_2_70B,
    MIXTRAL_8X7B,
    V2,
    V2_LITE,
    V3,
    GroupedQueryAttention,
    LatentAttention,
)

TWO_LATENTS = "the plan's two latents"
PAPERS = {
    "MHA": "arXiv 1706.03762",
    "MQA": "arXiv 1911.02150",
    "GQA": "arXiv 2305.13245",
    "MLA": "arXiv 2405.04434",
}


def cached_numbers(attention: GroupedQueryAttention | LatentAttention) -> int:
    """The numbers cached per token and layer.

    Keys and values of the `kv_heads`, or the latent and the one rotary key (V2p, table 1).
    """
    _validate_attention(attention)
    if isinstance(attention, LatentAttention):
        return attention.d_latent + attention.d_rope
    return 2 * attention.kv_heads * attention.d_head


def cache_bytes(
    numbers: int, layers: int, context: int, *, batch: int = 1, bytes_per_number: int = 2
) -> int:
    """The bytes of a cache of `context` tokens per sequence; `numbers` is per token and layer."""
    validate_sizes(numbers=numbers, layers=layers, context=context, batch=batch)
    validate_sizes(bytes_per_number=bytes_per_number)
    return numbers * layers * context * batch * bytes_per_number


def in_gb(size: int) -> str:
    """`size` bytes in GB of 10**9 bytes, or in MB below 0.01 GB, as text with its unit."""
    value, unit = (size / 1e9, "GB") if size >= 1e7 else (size / 1e6, "MB")
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def same_heads_mha(attention: GroupedQueryAttention | LatentAttention) -> GroupedQueryAttention:
    """Standard attention with the same heads of `d_head`, each with its own key and value."""
    _validate_attention(attention)
    return GroupedQueryAttention(attention.heads, attention.heads, attention.d_head)


def ways_to_cache(
    heads: int, d_head: int, kv_heads: int, d_latent: int, d_rope: int
) -> dict[str, int]:
    """The numbers cached per token and layer, for each way; `PAPERS` names the paper of each.

    The plan has one latent of width `d_latent` for the keys and another for the values.
    """
    latent = LatentAttention(
        heads, d_head, d_rope, d_value=d_head, d_latent=d_latent, q_latent=None
    )
    return {
        "MHA": cached_numbers(same_heads_mha(latent)),
        "MQA": cached_numbers(GroupedQueryAttention(heads, 1, d_head)),
        "GQA": cached_numbers(GroupedQueryAttention(heads, kv_heads, d_head)),
        TWO_LATENTS: 2 * d_latent,
        "MLA": cached_numbers(latent),
    }


@dataclass(frozen=True)
class CacheRow:
    """One model's cache beside that of a named baseline, for one sequence in 2-byte numbers.

    `numbers` is per token and layer; `bytes_cached` and `baseline_bytes` are for the same context
    and number of layers.
    """

    name: str
    attention: str
    numbers: int
    bytes_cached: int
    baseline: str
    baseline_bytes: int

    @property
    def ratio(self) -> float:
        """How many times larger the baseline's cache is."""
        return self.baseline_bytes / self.bytes_cached


def cache_rows(context: int = 4096) -> list[CacheRow]:
    """The caches of published models at `context` tokens, each against MHA with the same heads.

    The plan counts LLaMA-2-70B as if each of its 64 heads had its own key and value; it was
    published with 8 KV heads (`config.json` of Llama-2-70b-hf).
    """
    as_planned = same_heads_mha(LLAMA_2_70B.attention)
    models = (MIXTRAL_8X7B, V2_LITE, V2, V3)
    return [
        _row("LLaMA-2-70B as the plan counts it", as_planned, LLAMA_2_70B.layers, context),
        _row("LLaMA-2-70B as deployed", LLAMA_2_70B.attention, LLAMA_2_70B.layers, context),
        *(_row(model.name, model.attention, model.layers, context) for model in models),
    ]


def _row(
    name: str, attention: GroupedQueryAttention | LatentAttention, layers: int, context: int
) -> CacheRow:
    numbers, baseline = cached_numbers(attention), same_heads_mha(attention)
    return CacheRow(
        name,
        attention=_in_words(attention),
        numbers=numbers,
        bytes_cached=cache_bytes(numbers, layers, context),
        baseline=_in_words(baseline),
        baseline_bytes=cache_bytes(cached_numbers(baseline), layers, context),
    )


def _in_words(attention: GroupedQueryAttention | LatentAttention) -> str:
    if isinstance(attention, LatentAttention):
        return f"MLA, latent {attention.d_latent} + rotary key {attention.d_rope}"
    if attention.kv_heads == attention.heads:
        return f"MHA, {attention.heads} heads of {attention.d_head}"
    if attention.kv_heads == 1:
        return f"MQA, {attention.heads} heads share 1 KV head"
    return f"GQA, {attention.heads} heads share {attention.kv_heads} KV heads"


def _validate_attention(attention: object) -> None:
    if isinstance(attention, LatentAttention):
        validate_sizes(attention.d_rope, heads=attention.heads, d_head=attention.d_head)
        validate_sizes(d_latent=attention.d_latent)
    elif isinstance(attention, GroupedQueryAttention):
        heads, kv_heads = attention.heads, attention.kv_heads
        validate_sizes(heads=heads, kv_heads=kv_heads, d_head=attention.d_head)
        if heads % kv_heads:
            raise ValueError(f"kv_heads must divide heads={heads}, got {kv_heads}")
    else:
        raise TypeError(
            "attention must be a GroupedQueryAttention or a LatentAttention, "
            f"got {type(attention).__name__}"
        )
