"""What the checks of the whole attention and of the absorbed step say."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from checks import CheckFailed
from checks.d3_mla.attention.absorbed import check_absorbed_decode
from checks.d3_mla.attention.layer import check_mla
from solutions import d3_mla as reference

ALONE = replace(check_mla, needs=())  # says what it sees itself, whatever its parts' checks say


LAYER_TEXT = """
class MultiHeadLatentAttention(reference.MultiHeadLatentAttention):
    def forward(self, x, cache=None):
        start = 0 if cache is None else len(cache)
        q_content, q_rotary = self.queries(x, start)
        latent, k_rotary = self.latent.down(x), self.rotary_key(x, start)
        if cache is not None:
            latent, k_rotary = cache.append(latent, k_rotary)
        k_content, values = self.latent.up(latent)
        y = reference.attend(q_content, q_rotary, k_content, k_rotary, values)
        return self.out(y.flatten(-2))
"""

STEP_TEXT = """
def absorbed_decode(attention, x, cache):
    start, part = len(cache), attention.latent
    q_content, q_rotary = attention.queries(x, start)
    latent, k_rotary = cache.append(part.down(x), attention.rotary_key(x, start))
    both = part.kv_up.weight.unflatten(0, (part.num_heads, -1))
    W_UK, W_UV = both.split([part.d_head, part.d_value], dim=1)
    q_latent = torch.einsum("blhd,hdR->blhR", q_content, W_UK)
    scores = torch.einsum("blhR,bsR->bhls", q_latent, latent)
    scores = scores + torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    weights = (scores / (part.d_head + q_rotary.shape[-1]) ** 0.5).softmax(dim=-1)
    mixed = torch.einsum("bhls,bsR->blhR", weights, latent)
    return attention.out(torch.einsum("blhR,hvR->blhv", mixed, W_UV).flatten(-2))
"""


def with_slip(text, old="", new=""):
    """What a text defines, with one part of it exchanged for another."""
    assert old in text
    names = {"torch": torch, "reference": reference}
    exec(compile(text.replace(old, new) if old else text, "<slip>", "exec"), names)
    return names["MultiHeadLatentAttention" if text is LAYER_TEXT else "absorbed_decode"]


def failure(check, answer, seed=0) -> CheckFailed:
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=seed)
    return failed.value


def test_the_texts_that_get_a_slip_pass():
    assert ALONE(with_slip(LAYER_TEXT), seed=0).passed
    assert check_absorbed_decode(with_slip(STEP_TEXT), seed=0).passed


LAYER = [
    ("len(cache)\n", "0\n", "one by one", "Do queries and key get the position that x starts at"),
    ("latent, k_rotary = cache.append(", "_ = cache.append(", "one by one", "new positions alone?"),
    (
        "if cache is not None:",
        "if cache:",
        "the same after a prefill",
        "An empty cache counts as false",
    ),
    (
        "cache.append(latent, k_rotary)",
        "cache.append(k_rotary, latent)",
        "x and weights untouched",
        "comes first",
    ),
    ("return self.out(y.flatten(-2))", "return y.flatten(-2)", "shapes", "go through `out`"),
    ("self.out(y.flatten(-2))", "x + self.out(y.flatten(-2))", "without a cache", "residual"),
    ("y.flatten(-2)", "y.mT.flatten(-2)", "without a cache", "heads and their widths exchanged"),
    (
        "y.flatten(-2)",
        "y.transpose(1, 2).reshape(*x.shape[:2], -1)",
        "no position",
        "(B, H, L, v) flattened",
    ),
    ("k_rotary, values)", "0 * k_rotary, values)", "the order", "Where do the rotary scores"),
    ("self.queries(x, start)", "self.queries(x)", "one by one", "Do the queries get the position"),
    ("self.rotary_key(x, start)", "self.rotary_key(x)", "one by one", "Does the key get the posit"),
    ("self.latent.down(x)", "self.latent.down(x).detach()", "gradients", "detached"),
    (
        "self.latent.down(x)",
        "self.latent.kv_down(x)",
        "without a cache",
        "Is the latent normed bef",
    ),
    ("        y = ref", "        x *= 2\n        y = ref", "x and weights", "in place"),
    (
        "self.rotary_key(x, start)",
        "self.rotary_key(x.transpose(0, 1), start).transpose(0, 1)",
        "the order",
        "not by its row of the batch?",
    ),
    (
        "        y = ref",
        "        k_rotary /= k_rotary.square().mean(-1, keepdim=True).sqrt()\n        y = ref",
        "without a cache",
        "Is the rotary key normed?",
    ),
    ("k_rotary, values)", "k_rotary.flip(-1), values)", "without a cache", "and it is right."),
    ("k_rotary, values)", "k_rotary, values.flip(-1))", "without a cache", "and it is wrong."),
    (
        "latent, k_rotary = cache",
        "cache.append(latent, k_rotary)\n            latent, k_rotary = cache",
        "the same after a prefill",
        "appended once",
    ),
    (
        "if cache is not None:",
        "if cache is not None:\n            cache.used *= x.shape[1] == 1",
        "one by one",
        "cached before still there",
    ),
    ("len(cache)\n", "max(len(cache) - 1, 0)\n", "one by one", "one less than len(cache)"),
    (
        "        y = ref",
        "        k_rotary = k_rotary.roll(int(len(k_rotary[0]) > x.shape[1]), 1)\n        y = ref",
        "one by one",
        "Position 1 is the first that is wrong, row 0",
    ),
    (
        "start = 0 if cache is None else len(cache)",
        "start = getattr(self, 'seen', 0) if cache else 0\n        self.seen = start + x.shape[1]",
        "nothing kept",
        "keep anything from one call",
    ),
]


@pytest.mark.parametrize(("old", "new", "stage", "ask"), LAYER, ids=range(len(LAYER)))
def test_a_slip_in_the_layer_is_asked_about(old, new, stage, ask):
    failed = failure(ALONE, with_slip(LAYER_TEXT, old, new))
    assert failed.state == "wrong" and failed.stage.startswith(stage)
    assert ask in failed.message and len(failed.message) < 400


ABSORBED = [
    ("part.d_head + q_rotary", "latent.shape[-1] + q_rotary", "one token", "sqrt(d_latent + d_"),
    (
        "start, part = len(cache),",
        "start, part = len(cache) + 1,",
        "one token",
        "stand one position too late?",
    ),
    ("attention.queries(x, start)", "attention.queries(x)", "one token", "Do the queries get"),
    ("cache.append(part", "(part", "the first token", "and not to a copy?"),
    ("W_UK, W_UV =", "W_UV, W_UK =", "the first token", ""),
    ("mixed = ", "x.zero_()\n    mixed = ", "x, weights", "in place"),
    ("part.down(x)", "part.kv_down(x)", "the first token", "normed before keys and values"),
    ("attention.out(", "(", "the first token", "Does attention.out come last?"),
    (
        "attention.latent\n",
        "attention.latent\n    x = x / x.square().mean(-1, keepdim=True).sqrt()\n",
        "the first token",
        "Is x normed in the layer?",
    ),
    (".softmax(dim=-1)", ".softmax(dim=-2)", "one token", "sum to 1 over the positions?"),
    (".softmax(dim=-1)", "", "the first token", "Is there a softmax?"),
    (".shape[-1]) ** 0.5", ".shape[-2]) ** 0.5", "one token", "sqrt(d_head + num_heads)?"),
    (
        "weights = (scores",
        "weights = (scores + torch.ones(scores.shape[-2:]).triu(1) * -1e9",
        "one token",
        "position 0 alone?",
    ),
    (
        "q_latent = ",
        "W_UK = W_UK.reshape(len(W_UK), -1, part.d_head).mT\n    q_latent = ",
        "one token",
        "Is W_UK turned by a reshape?",
    ),
    (
        '"blhd,hdR->blhR", q_content, W_UK',
        '"blhd,dR->blhR", q_content, W_UK[0]',
        "one",
        "its own W_UK",
    ),
    ("k_rotary)\n", "2 * k_rotary)\n", "one token", "is right: do the scores differ"),
    (
        ".softmax(dim=-1)",
        ".softmax(-1, torch.promote_types(x.dtype, torch.float32))",
        "bfloat16",
        "Is a step made wider",
    ),
    (".softmax(dim=-1)", ".float().softmax(dim=-1).to(x)", "one token", "computed in float32"),
]


@pytest.mark.parametrize(("old", "new", "stage", "ask"), ABSORBED, ids=range(len(ABSORBED)))
def test_a_slip_in_the_absorbed_step_is_asked_about(old, new, stage, ask):
    failed = failure(check_absorbed_decode, with_slip(STEP_TEXT, old, new))
    assert failed.stage.startswith(stage)
    assert ask in failed.message and len(failed.message) < 400


def test_expansion_is_counted_and_named():
    failed = failure(check_absorbed_decode, lambda attention, x, cache: attention(x, cache))
    assert failed.stage.startswith("no cached latent is expanded")
    assert "must cost about H·(2R + r) = " in failed.message
    assert "That is the cost of keys and values of all cached tokens." in failed.message


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (
            'torch.einsum("blhR,bsR->bhls", q_latent, latent)',
            'torch.einsum("blhd,bshd->bhls", q_content, torch.einsum("bsR,hdR->bshd", latent, '
            "W_UK))",
            "keys of all cached tokens, and not of values",
        ),
        (
            'torch.einsum("blhR,hvR->blhv", mixed, W_UV)',
            'torch.einsum("bhls,bshv->blhv", weights, torch.einsum("bsR,hvR->bshv", latent, W_UV))',
            "values of all cached tokens, and not of keys",
        ),
    ],
)
def test_half_an_expansion_is_named(old, new, what):
    failed = failure(check_absorbed_decode, with_slip(STEP_TEXT, old, new))
    assert f"That is the cost of {what}." in failed.message


def one_shared_head(attention, x, cache):
    """The latent and the rotary key as the one head of keys that all queries meet."""
    part, start = attention.latent, len(cache)
    content, rotary = attention.queries(x, start)
    latent, key = cache.append(part.down(x), attention.rotary_key(x, start))
    up = part.kv_up.weight.view(part.num_heads, -1, latent.shape[-1])
    W_UK, W_UV = up.split([part.d_head, part.d_value], dim=1)
    queries = torch.cat([(content[:, 0, :, None] @ W_UK)[:, :, 0], rotary[:, 0]], -1)
    scale = (part.d_head + rotary.shape[-1]) ** -0.5
    keys = torch.cat([latent, key], -1)
    mixed = F.scaled_dot_product_attention(queries, keys, latent, scale=scale)  # (B, H, R)
    return attention.out((W_UV @ mixed[..., None]).flatten(1))[:, None]


def a_loop_over_heads(attention, x, cache):
    part, start = attention.latent, len(cache)
    content, rotary = attention.queries(x, start)
    latent, key = cache.append(part.down(x), attention.rotary_key(x, start))
    made, width = 0, part.d_head + part.d_value
    for h, out in enumerate(attention.out.weight.split(part.d_value, dim=1)):
        W_UK, W_UV = part.kv_up.weight[h * width :][:width].split([part.d_head, part.d_value])
        scores = (content[:, :, h] @ W_UK) @ latent.mT + rotary[:, :, h] @ key.mT
        weights = (scores / (part.d_head + rotary.shape[-1]) ** 0.5).softmax(-1)
        made = made + (weights @ latent) @ (out @ W_UV).T  # W_UV goes into `out`
    return made


@pytest.mark.parametrize("answer", [one_shared_head, a_loop_over_heads])
def test_other_ways_to_absorb_pass(answer):
    assert all(check_absorbed_decode(answer, seed=seed).passed for seed in range(3))


def test_a_layer_that_absorbs_when_it_decodes_passes():
    class MultiHeadLatentAttention(reference.MultiHeadLatentAttention):
        def forward(self, x, cache=None):
            one_more = cache is not None and x.shape[1] == 1
            return one_shared_head(self, x, cache) if one_more else super().forward(x, cache)

    assert all(check_mla(MultiHeadLatentAttention, seed=seed).passed for seed in range(3))
