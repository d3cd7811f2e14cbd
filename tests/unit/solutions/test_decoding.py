"""Every way to decode and to prefill gives the same tokens and outputs, on a GPU too."""

import copy
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from helpers.model import attention_ways
from helpers.model.attention_ways import QUERY_BLOCK, absorbs, attended_in_blocks
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.speculative import speculate
from solutions import d4_deepseek
from solutions.d3_mla import MultiHeadLatentAttention, attend
from solutions.d4_deepseek import DeepSeek, MultiTokenPrediction, generate

pytestmark = pytest.mark.usefixtures("place")
CONFIG = DeepSeekConfig(
    vocab_size=31,
    num_layers=2,
    d_model=32,
    num_heads=2,
    d_head=16,
    d_latent=24,
    d_rope=8,
    num_experts=4,
    top_k=2,
    expert_dim=16,
    num_shared=1,
)


def model_of(decode: str = "auto") -> DeepSeek:
    torch.manual_seed(0)
    model = DeepSeek(CONFIG).double()
    for block in model.blocks:
        block.decode = decode
    return model


def prompt(length: int) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randint(31, (1, length))


def test_logits_and_gradients_are_those_of_the_cpu(place: torch.device) -> None:
    model, ids = model_of(), prompt(40)
    there = copy.deepcopy(model).cpu()
    logits, wanted = model(ids), there(ids.cpu())
    assert logits.device.type == place.type
    assert torch.allclose(logits.cpu(), wanted, atol=1e-10)
    for moved, output in ((model, logits), (there, wanted)):
        output.square().mean().backward()
        assert all(p.grad is not None or "experts" in n for n, p in moved.named_parameters())
    for ours, theirs in zip(model.parameters(), there.parameters(), strict=True):
        if theirs.grad is not None:
            assert torch.allclose(ours.grad.cpu(), theirs.grad, atol=1e-10)


def test_forced_ways_write_the_same_tokens() -> None:
    ids = prompt(6)
    wanted = generate(model_of("expand"), ids, 12, temperature=0)
    for decode in ("auto", "absorb"):
        assert torch.equal(generate(model_of(decode), ids, 12, temperature=0), wanted)


def test_auto_absorbs_one_token_behind_more_than_the_break_even(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attention_ways, "BREAK_EVEN", 100)
    cases = {(1, 101): True, (1, 100): False, (2, 5000): False, (1, 0): False}
    assert {case: absorbs("auto", *case) for case in cases} == cases
    assert absorbs("absorb", 1, 1) and not absorbs("expand", 1, 5000)
    with pytest.raises(ValueError, match="decode must be one of auto, expand, absorb, got 'fast'"):
        absorbs("fast", 1, 1)


def test_absorbed_decode_is_called_where_auto_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def counted(attention: Any, x: torch.Tensor, cache: Any) -> torch.Tensor:
        calls.append(len(cache))
        return original(attention, x, cache)

    original = d4_deepseek.absorbed_decode
    monkeypatch.setattr(d4_deepseek, "absorbed_decode", counted)
    monkeypatch.setattr(attention_ways, "BREAK_EVEN", 20)
    generate(model_of(), prompt(19), 4, temperature=0)
    assert calls == [21] * CONFIG.num_layers


def test_a_layer_laid_out_otherwise_is_expanded_and_says_so() -> None:
    model = model_of("absorb")
    wanted = generate(model, prompt(9), 3, temperature=0)
    for block in model.blocks:
        del block.attention.latent.num_heads
        block.attention.latent.up = _up_of(block.attention.latent)
    with pytest.warns(UserWarning, match="JointLatent must keep kv_up, num_heads"):
        assert torch.equal(generate(model, prompt(9), 3, temperature=0), wanted)


def _up_of(latent: Any) -> Any:
    def up(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return latent.kv_up(x).unflatten(-1, (2, -1)).split([16, 16], dim=-1)

    return up


@pytest.mark.parametrize("cached", [0, 70])
def test_blocks_are_the_whole_attention_and_sdpa(cached: int) -> None:
    torch.manual_seed(0)
    layer = MultiHeadLatentAttention(32, 2, 16, 24, 8).double()
    x = torch.randn(2, cached + 2 * QUERY_BLOCK + 5, 32, dtype=torch.float64)
    whole, caches = layer(x), [layer.new_cache(2, x.shape[1]) for _ in range(2)]
    for cache in caches:
        if cached:
            layer(x[:, :cached], cache)
    blocks = attended_in_blocks(layer, attend, x[:, cached:], caches[0])
    assert torch.allclose(blocks, whole[:, cached:], atol=1e-12)
    assert torch.allclose(layer(x[:, cached:], caches[1]), blocks, atol=1e-12)
    assert torch.allclose(_by_sdpa(layer, x), whole, atol=1e-12)


def _by_sdpa(layer: Any, x: torch.Tensor) -> torch.Tensor:
    content, rotary = layer.queries(x)
    keys, values = layer.latent.up(layer.latent.down(x))
    shared = layer.rotary_key(x)[:, :, None].expand_as(rotary)
    q, k = torch.cat([content, rotary], -1), torch.cat([keys, shared], -1)
    heads = (part.transpose(1, 2) for part in (q, k, values))
    y = F.scaled_dot_product_attention(*heads, is_causal=True)
    return layer.out(y.transpose(1, 2).flatten(-2))


def test_memory_of_a_prefill_grows_no_faster_than_its_length() -> None:
    torch.manual_seed(0)
    layer = MultiHeadLatentAttention(32, 4, 16, 24, 8)

    def largest(length: int) -> int:
        """The largest tensor that appears, in bytes: the scores of one block."""
        found = []
        with torch.no_grad(), _Sizes(found):
            attended_in_blocks(layer, attend, torch.randn(1, length, 32))
        return max(found)

    assert largest(4096) <= 4.5 * largest(1024)
    assert largest(4096) == 4 * 4 * QUERY_BLOCK * 4096


class _Sizes(torch.overrides.TorchFunctionMode):
    def __init__(self, found: list[int]):
        super().__init__()
        self.found = found

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        got = func(*args, **(kwargs or {}))
        if isinstance(got, torch.Tensor):
            self.found.append(got.untyped_storage().nbytes())
        return got


@pytest.mark.parametrize("new", [0, 1, 2, 3, 40])
def test_drafts_change_no_token(new: int) -> None:
    model, ids = model_of(), prompt(7)
    prediction = MultiTokenPrediction(CONFIG).double()
    found = speculate(model, prediction, ids, new)
    assert torch.equal(found.ids, generate(model, ids, new, temperature=0))
    assert found.drafted <= max(new - 1, 0) and 0 <= found.kept <= found.drafted


class Oracle(torch.nn.Module):
    """Drafts what the model itself will say, and now and then something else."""

    def __init__(self, model: DeepSeek, text: torch.Tensor, every: int):
        super().__init__()
        self.block, self.text, self.every = model.blocks[0], text, every
        self.weights, self.seen = model.head.weight, 0

    def forward(self, hidden: torch.Tensor, _: torch.Tensor, cache: Any) -> torch.Tensor:
        self.seen += hidden.shape[1]
        token = int(self.text[0, self.seen + 1])
        wrong = self.seen % self.every == 0
        return 1e3 * self.weights[(token + wrong) % 31][None, None]


def test_right_drafts_are_kept_and_wrong_ones_forgotten() -> None:
    model, ids = model_of(), prompt(7)
    torch.nn.init.orthogonal_(model.head.weight)  # then a row of it is what its token needs
    text = generate(model, ids, 42, temperature=0)
    always = speculate(model, Oracle(model, text, 10**6), ids, 40)
    assert torch.equal(always.ids, text[:, :47]) and always.acceptance == 1.0
    assert always.drafted == 20
    some = speculate(model, Oracle(model, text, 3), ids, 40)
    assert torch.equal(some.ids, text[:, :47]) and 0 < some.acceptance < 1


def test_more_than_one_sequence_is_refused() -> None:
    with pytest.raises(ValueError, match="one sequence at a time, got 2"):
        speculate(model_of(), None, torch.zeros(2, 3, dtype=torch.long), 2)
