"""The cache calculator gives the published numbers, each beside a named baseline."""

import inspect

import pytest

from helpers.model.kv_cache import (
    PAPERS,
    TWO_LATENTS,
    cache_bytes,
    cache_rows,
    cached_numbers,
    in_gb,
    same_heads_mha,
    ways_to_cache,
)
from helpers.model.published import (
    LLAMA_2_70B,
    MIXTRAL_8X7B,
    V2,
    V2_LITE,
    V3,
    GroupedQueryAttention,
    LatentAttention,
)


def at_4096(model) -> int:
    return cache_bytes(cached_numbers(model.attention), model.layers, 4096)


@pytest.mark.parametrize(
    ("model", "numbers", "a_token", "gigabytes"),
    [
        (LLAMA_2_70B, 2048, 327_680, 1.342),
        (MIXTRAL_8X7B, 2048, 131_072, 0.537),
        (V2_LITE, 576, 31_104, 0.127),
        (V2, 576, 69_120, 0.283),
        (V3, 576, 70_272, 0.288),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_published_models_cache_what_their_configurations_say(model, numbers, a_token, gigabytes):
    assert cached_numbers(model.attention) == numbers
    assert cache_bytes(numbers, model.layers, 1) == a_token
    assert at_4096(model) / 1e9 == pytest.approx(gigabytes, abs=0.0005)


def test_one_kv_head_a_head_is_mha_and_one_in_all_is_mqa():
    assert cached_numbers(GroupedQueryAttention(32, 32, 128)) == 2 * 32 * 128
    assert cached_numbers(GroupedQueryAttention(32, 1, 128)) == 2 * 128


def test_the_same_heads_without_sharing():
    assert same_heads_mha(V3.attention) == GroupedQueryAttention(128, 128, 128)
    assert same_heads_mha(LLAMA_2_70B.attention) == GroupedQueryAttention(64, 64, 128)


def test_batch_and_width_of_a_number_multiply():
    assert cache_bytes(3, 5, 7, batch=11, bytes_per_number=4) == 3 * 5 * 7 * 11 * 4
    assert cache_bytes(3, 5, 7) == 3 * 5 * 7 * 2


def test_the_plans_llama_is_ten_gib_and_the_deployed_one_an_eighth():
    planned, deployed, *_ = cache_rows()
    assert planned.bytes_cached == planned.baseline_bytes == 10_737_418_240 == 10 * 2**30
    assert deployed.bytes_cached == 1_342_177_280 and deployed.ratio == 8.0
    assert planned.attention == planned.baseline == "MHA, 64 heads of 128"
    assert deployed.attention == "GQA, 64 heads share 8 KV heads"


def test_each_row_names_its_baseline_and_the_ratio_to_it():
    rows = {row.name: row for row in cache_rows()}
    ratios = {name: round(row.ratio, 2) for name, row in rows.items()}
    assert ratios == {
        "LLaMA-2-70B as the plan counts it": 1.0,
        "LLaMA-2-70B as deployed": 8.0,
        "Mixtral-8x7B": 4.0,
        "DeepSeek-V2-Lite": 7.11,
        "DeepSeek-V2": 56.89,
        "DeepSeek-V3": 56.89,
    }
    assert rows["DeepSeek-V3"].attention == "MLA, latent 512 + rotary key 64"
    assert rows["DeepSeek-V3"].baseline == "MHA, 128 heads of 128"
    assert rows["DeepSeek-V3"].baseline_bytes == 16_374_562_816
    assert rows["DeepSeek-V2-Lite"].baseline == "MHA, 16 heads of 128"


def test_rows_grow_with_the_context_and_ratios_do_not():
    for short, long in zip(cache_rows(1000), cache_rows(3000), strict=True):
        assert long.bytes_cached == 3 * short.bytes_cached and long.ratio == short.ratio


def test_against_eight_kv_heads_deepseek_saves_less():
    eight = cached_numbers(GroupedQueryAttention(128, 8, 128))
    assert eight / cached_numbers(V3.attention) == pytest.approx(3.56, abs=0.005)
    assert at_4096(LLAMA_2_70B) / at_4096(V3) == pytest.approx(4.66, abs=0.005)
    assert cached_numbers(V2.attention) / (2 * 128) == 2.25  # V2p: "GQA with 2.25 groups"


def test_the_ways_from_mha_to_mla():
    ways = ways_to_cache(32, 128, 8, 512, 64)
    assert ways == {"MHA": 8192, "MQA": 256, "GQA": 2048, TWO_LATENTS: 1024, "MLA": 576}
    assert ways["MHA"] / ways[TWO_LATENTS] == 8.0
    assert ways["MHA"] / ways["MLA"] == pytest.approx(14.2, abs=0.05)
    assert list(PAPERS) == [way for way in ways if way != TWO_LATENTS]


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (10_737_418_240, "10.7 GB"),
        (287_834_112, "0.288 GB"),
        (35_184_372_088_832, "35,184 GB"),
        (99_960_000_000, "100 GB"),
        (70_272, "0.0703 MB"),
    ],
)
def test_bytes_in_gb(size, text):
    assert in_gb(size) == text


def latent(heads=16, d_head=128, d_rope=64, d_latent=512):
    return LatentAttention(heads, d_head, d_rope, d_head, d_latent, None)


BAD = {
    "a whole model": (
        cached_numbers, (V3,), TypeError,
        "attention must be a GroupedQueryAttention or a LatentAttention, got PublishedModel",
    ),
    "a baseline of a whole model": (same_heads_mha, (V3,), TypeError, "got PublishedModel"),
    "no KV head": (
        cached_numbers, (GroupedQueryAttention(64, 0, 128),), ValueError,
        "kv_heads must be at least 1, got 0",
    ),
    "KV heads that do not divide": (
        cached_numbers, (GroupedQueryAttention(64, 6, 128),), ValueError,
        "kv_heads must divide heads=64, got 6",
    ),
    "more KV heads than heads": (
        ways_to_cache, (8, 128, 16, 512, 64), ValueError, "kv_heads must divide heads=8, got 16",
    ),
    "no latent": (
        cached_numbers, (latent(d_latent=0),), ValueError, "d_latent must be at least 1, got 0",
    ),
    "half a pair": (cached_numbers, (latent(d_rope=7),), ValueError, "d_rope must be even"),
    "no heads": (same_heads_mha, (latent(heads=0),), ValueError, "heads must be at least 1, got 0"),
    "no context": (cache_rows, (0,), ValueError, "context must be at least 1, got 0"),
    "no layers": (cache_bytes, (576, 0, 4096), ValueError, "layers must be at least 1, got 0"),
    "no numbers": (cache_bytes, (-2, 1, 4096), ValueError, "numbers must be at least 1, got -2"),
}  # fmt: skip


@pytest.mark.parametrize(("function", "arguments", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_sizes_get_one_sentence(function, arguments, kind, message):
    # Without the type checker of this test run, which a learner's kernel does not have.
    with pytest.raises(kind) as caught:
        inspect.unwrap(function)(*arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["batch", "bytes_per_number"])
def test_bad_factors_get_one_sentence(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        cache_bytes(576, 61, 4096, **{name: 0})
