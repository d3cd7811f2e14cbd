"""The checks of D3.3a to D3.3d: typical slips are asked about."""

import random

import pytest
import torch
from torch.nn import functional as F

from checks.d3_mla.attention.attend import check_attend
from checks.d3_mla.attention.attend_cases import NAMES
from checks.d3_mla.attention.layer import check_mla
from checks.d3_mla.cases import latents
from checks.d3_mla.joint_latent import check_joint_latent
from checks.d3_mla.queries import check_query_path
from checks.d3_mla.rotary_key import check_rotary_key
from checks.grading.check import CheckFailed
from helpers.model.llama import rotate
from solutions import d3_mla as reference


def failure(check, answer, seed: int = 3) -> CheckFailed:
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=seed)
    return failed.value


def test_sizes_differ_and_pairs_are_several():
    for seed in range(50):
        for case in latents(random.Random(seed)):
            widths = (case.length, case.d_model, case.d_head, case.d_value, case.d_latent)
            widths += (case.d_rope,) if case.q_latent is None else (case.d_rope, case.q_latent)
            assert len(set(widths)) == len(widths) and case.batch != case.num_heads
            assert case.d_rope >= 4 or case.num_heads == 1


def turned(path, rotary, start):
    """As the path's settings have it."""
    return rotate(rotary, start, path.theta, path.angles)


def queries(turn=turned, parts=(0, 1)):
    """A `QueryPath` that turns in its own way, or takes the two parts in another order."""

    class QueryPath(reference.QueryPath):
        def forward(self, x, start=0):
            fed = x if self.q_latent is None else self.q_norm(self.q_down(x))
            rows = self.scale * self.q_up(fed).unflatten(-1, (self.num_heads, -1))
            widths = self.d_head, self.d_rope
            split = rows.split([widths[i] for i in parts], dim=-1)
            return split[parts[0]], turn(self, split[parts[1]], start)

    return QueryPath


def halves(x, start, path):
    paired = torch.stack(x.chunk(2, dim=-1), dim=-1).flatten(-2)
    return turned(path, paired, start).unflatten(-1, (-1, 2)).transpose(-1, -2).flatten(-2)


@pytest.mark.parametrize(
    ("answer", "stage", "question"),
    [
        (queries(parts=(1, 0)), "the content of every", "Are the rows of q_up per head, content"),
        (
            queries(lambda path, rotary, start: halves(rotary, start, path)),
            "turning keeps",
            "Are the pairs neighbours (0, 1), (2, 3), and not halves?",
        ),
        (
            queries(lambda path, rotary, start: rotate(rotary, start, path.theta)),
            "the rotary part turned",
            "Do the constructor's angles reach the turn, where it has some?",
        ),
        (
            queries(lambda path, rotary, start: rotate(rotary, start, angles=path.angles)),
            "the rotary part turned",
            "Does theta come from the constructor?",
        ),
        (
            queries(lambda path, rotary, start: turned(path, rotary, 0)),
            "start shifts",
            "Is it turned by start + position?",
        ),
        (
            queries(lambda path, rotary, start: turned(path, rotary, start).detach()),
            "gradients",
            "detached",
        ),
    ],
)
def test_query_path_asks(answer, stage, question):
    failed = failure(check_query_path, answer)
    assert failed.stage.startswith(stage) and question in failed.message


def test_query_path_asks_for_the_norm():
    class QueryPath(reference.QueryPath):
        def forward(self, x, start=0):
            q = self.scale * self.q_up(x if self.q_latent is None else self.q_down(x))
            heads = q.unflatten(-1, (self.num_heads, -1))
            content, rotary = heads.split([self.d_head, self.d_rope], dim=-1)
            return content, rotate(rotary, start, self.theta, self.angles)

    failed = failure(check_query_path, QueryPath)
    assert failed.stage == "the content from a normed query latent"
    assert failed.message.endswith("Is the latent normed before q_up?")


def test_query_path_asks_for_a_part_that_is_replaced():
    class QueryPath(reference.QueryPath):
        def forward(self, x, start=0):
            self.q_norm = torch.nn.Identity()
            return super().forward(x, start)

    failed = failure(check_query_path, QueryPath)
    assert failed.stage == "x and weights untouched"
    assert "q_norm.weight must be there after the call" in failed.message


def test_joint_latent_asks():
    class Unnormed(reference.JointLatent):
        def down(self, x):
            return self.kv_down(x)

    class ValueFirst(reference.JointLatent):
        def up(self, latent):
            both = self.kv_up(latent).unflatten(-1, (self.num_heads, -1))
            return both.split([self.d_value, self.d_head], dim=-1)[::-1]

    message = failure(check_joint_latent, Unnormed).message
    assert message.endswith("Is the latent normed before it is cached?")
    message = failure(check_joint_latent, ValueFirst).message
    assert message.endswith("Are the rows of kv_up per head, key then value?")


@pytest.mark.parametrize(
    ("forward", "stage", "question"),
    [
        (lambda key, x, start: key.k_down(x), "turned by its position", "Is it turned at all"),
        (
            lambda key, x, start: rotate(key.k_down(x), start, key.theta),
            "position 0",
            "and not along the batch?",
        ),
        (
            lambda key, x, start: rotate(key.k_down(x).unsqueeze(-2), start, key.theta).squeeze(),
            "shapes and types",
            "Is squeeze told which dimension to take off",
        ),
        (
            lambda key, x, start: key.k_down(x).mean(1, keepdim=True).expand(-1, x.shape[1], -1),
            "position 0",
            "and not of the mean of all?",
        ),
        (
            lambda key, x, start: rotate(
                key.k_down(x).unflatten(-1, (-1, 2)), start, key.theta
            ).flatten(-2),
            "turned by its position",
            "Has each pair its own angle",
        ),
        (
            lambda key, x, start: turned(key, key.k_down(x).unsqueeze(-2), min(start, 8)).squeeze(
                -2
            ),
            "start shifts",
            "Is a table made for a fixed number of positions",
        ),
    ],
)
def test_rotary_key_asks(forward, stage, question):
    class RotaryKey(reference.RotaryKey):
        def forward(self, x, start=0):
            return forward(self, x, start)

    failed = failure(check_rotary_key, RotaryKey)
    assert failed.stage.startswith(stage) and question in failed.message


def test_rotary_key_asks_for_angles_that_are_kept():
    class RotaryKey(reference.RotaryKey):
        start = None

        def forward(self, x, start=0):
            self.start = min(start, self.start) if start and self.start else start
            return super().forward(x, self.start)

    failed = failure(check_rotary_key, RotaryKey)
    assert failed.stage.startswith("start shifts") and "of an earlier call" in failed.message


@pytest.mark.parametrize(
    ("forward", "question"),
    [
        (lambda key, x, start: rotate(x, start), "Is x turned, which is"),
        (
            lambda key, x, start: rotate(key.k_down(x).unsqueeze(-1), start),
            "Where does the dimension for heads go in?",
        ),
        (
            lambda key, x, start: (
                turned(key, key.k_down(x).unsqueeze(-2), start).squeeze(-2)
                + torch.zeros(99)[start : start + 1]
            ),
            "is a table made",
        ),
    ],
)
def test_rotary_key_asks_of_what_it_raises(forward, question):
    class RotaryKey(reference.RotaryKey):
        def forward(self, x, start=0):
            return forward(self, x, start)

    failed = [failure(check_rotary_key, RotaryKey, seed) for seed in range(3)]
    assert any(one.state == "raised" and question in one.message for one in failed)


def attending(width=lambda d, r: d + r, before=lambda length, seen: seen - length, share=1.0):
    """An `attend` with another scale, place of its queries, or share of the rotary scores."""

    def attend(q_content, q_rotary, k_content, k_rotary, values):
        content = torch.einsum("blhd,bshd->bhls", q_content, k_content)
        scores = content + share * torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
        scores = scores / width(q_content.shape[-1], q_rotary.shape[-1]) ** 0.5
        length, seen = scores.shape[-2:]
        later = torch.ones(length, seen, dtype=torch.bool).triu(before(length, seen) + 1)
        weights = F.softmax(scores.masked_fill(later, -torch.inf), dim=-1)
        return torch.einsum("bhls,bshv->blhv", weights, values)

    return attend


def prepared(**changes):
    """The right `attend`, of which some inputs are changed first."""

    def attend(**parts):
        return reference.attend(**{k: changes.get(k, lambda x: x)(v) for k, v in parts.items()})

    return lambda *given: attend(**dict(zip(NAMES, given, strict=True)))


def mixed_heads(queries):
    return queries + queries.mean(2, keepdim=True)


def multiplied(q_content, q_rotary, k_content, k_rotary, values):
    scores = torch.einsum("blhd,bshd->bhls", q_content, k_content)
    scores = scores * torch.einsum("blhr,bsr->bhls", q_rotary, k_rotary)
    scores = scores / (q_content.shape[-1] + q_rotary.shape[-1]) ** 0.5
    later = torch.full_like(scores[0, 0], -torch.inf).triu(scores.shape[3] - scores.shape[2] + 1)
    return torch.einsum("bhls,bshv->blhv", (scores + later).softmax(-1), values)


def of_the_new_keys(q_content, q_rotary, *cached):
    return reference.attend(q_content, q_rotary, *(y[:, -q_content.shape[1] :] for y in cached))


@pytest.mark.parametrize(
    ("answer", "stage", "question"),
    [
        (attending(before=lambda length, seen: seen), "L = S", "Are later positions -inf"),
        (attending(before=lambda length, seen: 0), "L < S", "Do the queries belong to the last L"),
        (
            attending(before=lambda length, seen: seen - length - 1),
            "one position",
            "see its own position?",
        ),
        (attending(share=0.0), "the rotary part", "Are the rotary scores added"),
        (attending(width=lambda d, r: d), "scores are divided", "Is the scale 1/sqrt(d_head"),
        (attending(width=lambda d, r: 1), "scores are divided", "Where are both parts"),
        (attending(width=lambda d, r: (d + r) ** 2 / 4), "scores are divided", "half the width"),
        (prepared(k_rotary=lambda k: k.sum(0, True).expand_as(k)), "scores are", "not all summed"),
        (prepared(q_content=mixed_heads, q_rotary=mixed_heads), "the rotary", "Another q_content"),
        (prepared(q_rotary=mixed_heads), "the rotary", "share k_rotary alone"),
        (prepared(values=lambda v: v.cumsum(1) * torch.nan), "shape and type", "every number of"),
        (multiplied, "scores are divided", "added, and not multiplied?"),
        (of_the_new_keys, "L < S", "are all S keys scored?"),
    ],
)
def test_attend_asks(answer, stage, question):
    failed = failure(check_attend, answer)
    assert failed.stage.startswith(stage) and question in failed.message


def test_attend_asks_of_what_it_raises():
    def square(*parts):
        y = reference.attend(*parts)
        return y + torch.ones(y.shape[1], y.shape[1])[None, :, None] * torch.ones(parts[2].shape[1])

    def turning(q_content, q_rotary, *cached):
        return reference.attend(q_content, rotate(q_rotary[..., 1:]), *cached)

    failed = failure(check_attend, square)
    assert "queries meet S = " in failed.message and failed.state == "raised"
    assert "is the mask (L, S)" in failed.message
    odd = [failure(check_attend, turning, seed).message for seed in range(3)]
    assert any("q_rotary and k_rotary come turned." in message for message in odd)


def test_right_attention_in_another_form_passes():
    assert check_attend(attending(), seed=5).passed


def test_a_part_from_an_older_notebook_passes():
    class QueryPath(reference.QueryPath):
        def __init__(self, *sizes, q_latent=None, theta=10_000.0):
            super().__init__(*sizes, q_latent=q_latent, theta=theta)

        def forward(self, x, start=0):
            fed = x if self.q_latent is None else self.q_norm(self.q_down(x))
            rows = self.q_up(fed).unflatten(-1, (self.num_heads, -1))
            content, rotary = rows.split([self.d_head, self.d_rope], dim=-1)
            return content, rotate(rotary, start, self.theta)

    class RotaryKey(reference.RotaryKey):
        def __init__(self, d_model, d_rope, *, theta=10_000.0):
            super().__init__(d_model, d_rope, theta=theta)

    assert check_query_path(QueryPath, seed=3).passed
    assert check_rotary_key(RotaryKey, seed=3).passed


def test_an_attention_of_older_parts_is_built_and_names_what_it_lacks(monkeypatch):
    class RotaryKey(reference.RotaryKey):
        def __init__(self, d_model, d_rope, *, theta=10_000.0):
            super().__init__(d_model, d_rope, theta=theta)

    sizes = 8, 2, 4, 5, 2
    monkeypatch.setattr(reference, "RotaryKey", RotaryKey)
    assert check_mla(reference.MultiHeadLatentAttention, seed=3).passed
    with pytest.raises(TypeError, match=r"RotaryKey\.__init__.*'angles'"):
        reference.MultiHeadLatentAttention(*sizes, angles=torch.ones(1))
