"""A converted attention is the standard one where the latents lose nothing, and only there."""

import math

import pytest
import torch
from torch import nn

from helpers.measuring.conversion import (
    Agreement,
    ConvertedAttention,
    agreement,
    attention_inputs,
    attention_maps,
    converted_model,
    converted_output,
    key_and_value_weights,
    mean_output,
    standard_output,
    uniform_attention,
)
from helpers.model.llama import CausalSelfAttention, Decoder, SwiGLU

D_MODEL, HEADS, VOCABULARY = 24, 3, 50


class Lossless(nn.Module):
    """Latents that are the keys and the values themselves, cut into `heads`."""

    def __init__(self, attention: CausalSelfAttention, heads: int):
        super().__init__()
        keys, values = key_and_value_weights(attention)
        self.keys, self.values, self.heads = nn.Parameter(keys), nn.Parameter(values), heads

    def down(self, x):
        return x @ self.keys.T, x @ self.values.T

    def up(self, k, v):
        return k.unflatten(-1, (self.heads, -1)), v.unflatten(-1, (self.heads, -1))


class NoValues(Lossless):
    """The keys are right, the values are all zero."""

    def up(self, k, v):
        keys, values = super().up(k, v)
        return keys, torch.zeros_like(values)


@pytest.fixture
def attention() -> CausalSelfAttention:
    torch.manual_seed(0)
    return CausalSelfAttention(D_MODEL, HEADS)


@pytest.fixture
def model() -> Decoder:
    torch.manual_seed(1)
    return Decoder(VOCABULARY, D_MODEL, 2, HEADS, lambda: SwiGLU(D_MODEL, 32))


def inputs(rows: int = 2, length: int = 7) -> torch.Tensor:
    return torch.randn(rows, length, D_MODEL, generator=torch.Generator().manual_seed(2))


def test_weights_give_the_keys_and_values_that_attention_uses(attention) -> None:
    x = inputs()
    keys, values = key_and_value_weights(attention)
    _, k, v = attention.qkv(x).unflatten(-1, (3, HEADS, -1)).unbind(-3)
    torch.testing.assert_close(x @ keys.T, k.flatten(-2))
    torch.testing.assert_close(x @ values.T, v.flatten(-2))
    before = attention.qkv.weight.clone()
    keys.zero_()
    assert torch.equal(attention.qkv.weight, before) and not keys.requires_grad


def test_inputs_are_what_each_attention_is_called_with(model) -> None:
    seen = []
    for block in model.blocks:
        block.attention.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    ids = torch.randint(VOCABULARY, (2, 5))
    got = attention_inputs(model, ids)
    assert len(got) == len(seen) == 2
    for x, called_with in zip(got, seen, strict=True):
        assert torch.equal(x, called_with) and not x.requires_grad


@pytest.mark.parametrize("heads", [1, HEADS])
def test_lossless_latents_change_nothing_however_they_are_cut(attention, heads: int) -> None:
    x = inputs()
    want = standard_output(attention, x)
    got = converted_output(attention, x, Lossless(attention, heads))
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(want, attention(x).detach())
    assert not got.requires_grad and not want.requires_grad


def test_values_come_from_the_latents_and_from_nowhere_else(attention) -> None:
    got = converted_output(attention, inputs(), NoValues(attention, HEADS))
    assert torch.equal(got, torch.zeros_like(got))


def test_no_position_sees_a_later_one_after_conversion(attention) -> None:
    x = inputs()
    latents = Lossless(attention, 1)
    changed = x.clone()
    changed[:, 4:] += 1
    before, after = (converted_output(attention, y, latents) for y in (x, changed))
    torch.testing.assert_close(before[:, :4], after[:, :4])
    assert not torch.allclose(before[:, 4:], after[:, 4:])


def test_uniform_attention_is_attention_whose_queries_say_nothing(attention) -> None:
    x = inputs()
    got = uniform_attention(attention, x)
    with torch.no_grad():
        attention.qkv.weight[:D_MODEL] = 0
    torch.testing.assert_close(got, standard_output(attention, x))


def test_maps_mix_the_values_into_what_attention_gives(attention) -> None:
    x = inputs()
    maps = attention_maps(attention, x)
    assert maps.shape == (2, HEADS, 7, 7)
    torch.testing.assert_close(maps.sum(dim=-1), torch.ones(2, HEADS, 7))
    assert maps.triu(1).abs().max() == 0
    values = attention.qkv(x).chunk(3, dim=-1)[-1].unflatten(-1, (HEADS, -1))
    mixed = torch.einsum("bhls,bshd->blhd", maps, values).flatten(-2)
    torch.testing.assert_close(attention.out(mixed), attention(x))


def test_mean_output_is_one_vector_for_all_tokens() -> None:
    outputs = torch.tensor([[[1.0, 0.0], [3.0, 2.0]]])
    got = mean_output(outputs, torch.zeros(2, 3, 2))
    assert torch.equal(got, torch.tensor([2.0, 1.0]).expand(2, 3, 2))


def test_agreement_is_the_cosine_of_each_token() -> None:
    want = torch.tensor([[[1.0, 0.0]] * 20 + [[0.0, 2.0]]])
    got = torch.tensor([[[3.0, 0.0]] * 19 + [[1.0, 1.0], [0.0, -1.0]]])
    cosine = torch.tensor([1.0] * 19 + [1 / math.sqrt(2), -1.0])
    found = agreement(got, want)
    assert found.mean == pytest.approx(cosine.mean().item())
    assert found.fifth_percentile == pytest.approx(1 / math.sqrt(2))
    same = agreement(want, want)
    assert (same.mean, same.fifth_percentile) == pytest.approx((1, 1))
    with pytest.raises(AttributeError):
        Agreement(1.0, 1.0).mean = 0.0


def test_other_shapes_do_not_agree() -> None:
    wanted = r"got must have the shape of want, \(2, 3, 4\), got \(1, 3, 4\)"
    with pytest.raises(ValueError, match=wanted):
        agreement(torch.zeros(1, 3, 4), torch.zeros(2, 3, 4))


def test_a_converted_attention_trains_copies_and_leaves_what_it_came_from(attention) -> None:
    latents, x = Lossless(attention, HEADS), inputs()
    given = [p.clone() for p in (*attention.parameters(), *latents.parameters())]
    converted = ConvertedAttention(attention, latents)
    converted(x).square().mean().backward()
    names = {name for name, p in converted.named_parameters() if p.grad.abs().sum() > 0}
    assert names == {"query.weight", "latents.keys", "latents.values", "out.weight"}
    with torch.no_grad():
        for p in converted.parameters():
            p.zero_()
    left = (*attention.parameters(), *latents.parameters())
    assert all(torch.equal(a, b) for a, b in zip(given, left, strict=True))
    assert all(p.grad is None for p in left)


def test_a_converted_model_is_a_copy_with_every_attention_replaced(model) -> None:
    ids = torch.randint(VOCABULARY, (2, 5))
    before = model(ids).detach()
    lossless = [Lossless(block.attention, 1) for block in model.blocks]
    made = converted_model(model, lossless)
    assert all(isinstance(block.attention, ConvertedAttention) for block in made.blocks)
    torch.testing.assert_close(made(ids).detach(), before)
    without = converted_model(model, [NoValues(block.attention, 1) for block in model.blocks])
    assert not torch.allclose(without(ids), before)
    made.blocks[0].ffn.gate.weight.data.zero_()
    assert torch.equal(model(ids).detach(), before)


def test_latents_for_every_layer_are_wanted(model) -> None:
    message = "latents_per_layer must have one for each of the 2 layers, got 1"
    with pytest.raises(ValueError, match=message):
        converted_model(model, [Lossless(model.blocks[0].attention, 1)])
