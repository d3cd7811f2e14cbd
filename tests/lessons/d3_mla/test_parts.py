"""What the checks of D3's parts and investigations say of slips, and that they are quick."""

import time

import pytest
import torch
from torch import nn

from checks import CheckFailed
from checks.audit import audit
from checks.d3_mla.cache import check_latent_cache
from checks.d3_mla.conversion import check_latents_from_mha
from checks.d3_mla.energy import check_energy_kept
from checks.d3_mla.projections import check_latent_projections
from checks.d3_mla.yarn import check_yarn_frequencies
from solutions.d3_mla import (
    LatentCache,
    LatentProjections,
    latents_from_mha,
    yarn_frequencies,
)

CHECKS = (
    check_latent_projections,
    check_latent_cache,
    check_latents_from_mha,
    check_energy_kept,
    check_yarn_frequencies,
)
EVERY = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)


def refused(check, answer, seed: int = 0) -> tuple[str, str]:
    """The stage that refuses the answer, and what it says."""
    with pytest.raises(CheckFailed) as failed:
        check(answer, seed=seed)
    return failed.value.stage, failed.value.message


@EVERY
def test_the_reference_passes_quickly(check):
    for seed in (5, 6):
        begin = time.process_time()
        assert check(check.reference_answer, seed=seed).passed
        assert time.process_time() - begin < 2


@EVERY
@pytest.mark.parametrize("value", [None, (), (1, 2, 3), 7, "x", object(), iter(())])
def test_whatever_comes_back_gets_a_message(check, value):
    answer = {
        "LatentProjections": type("Answer", (LatentProjections,), {"down": lambda s, x: value}),
        "LatentCache": type("Answer", (LatentCache,), {"append": lambda s, *parts: value}),
    }.get(check.name, lambda *given, **options: value)
    stage, message = refused(check, answer)
    assert stage in list(check.stages)[:2] and 20 < len(message) < 400


# D3.1


class Exchanged(LatentProjections):
    def down(self, x):
        return self.v_down(x), self.k_down(x)


class HeadsFirst(LatentProjections):
    def up(self, k, v):
        both = (self.k_up(k), self.v_up(v))
        return tuple(y.reshape(len(k), self.num_heads, k.shape[1], -1) for y in both)


class Interleaved(LatentProjections):
    def up(self, k, v):
        both = (self.k_up(k), self.v_up(v))
        return tuple(y.unflatten(-1, (-1, self.num_heads)).transpose(-1, -2) for y in both)


class Fused(nn.Module):
    """Laid out otherwise: no weight can be copied into it by name."""

    def __init__(self, d_model, d_latent, num_heads, d_head):
        super().__init__()
        self.down_both = nn.Linear(d_model, 2 * d_latent, bias=False)
        self.up_both = nn.Parameter(torch.randn(2, num_heads, d_head, d_latent))

    def down(self, x):
        return self.down_both(x).chunk(2, dim=-1)

    def up(self, k, v):
        return tuple(
            torch.einsum("bsr,hdr->bshd", y, self.up_both[i]) for i, y in enumerate((k, v))
        )


def test_projections_exchanged_or_cut_wrongly_are_named():
    assert "exchanged" in refused(check_latent_projections, Exchanged)[1]
    assert "(num_heads, d_head)" in refused(check_latent_projections, HeadsFirst)[1]
    assert "every num_heads-th" in refused(check_latent_projections, Interleaved)[1]


def test_projections_have_the_names_that_copying_weights_needs():
    assert "k_down.weight" in refused(check_latent_projections, Fused)[1]


# D3.2


class Plain(LatentCache):
    """The reference written once more, in steps that the slips below change."""

    def append(self, *parts):
        length = parts[0].shape[1]
        if not self.fits(parts, length):
            raise ValueError("no")
        if not self.buffers:
            self.buffers = self.made(parts)
        for buffer, part in zip(self.buffers, parts, strict=True):
            buffer[:, self.used : self.used + length] = part.detach()
        self.used += length
        return tuple(buffer[:, : self.used] for buffer in self.buffers)

    def fits(self, parts, length):
        shapes = [(self.batch, length, width) for width in self.widths]
        return self.has_room(length) and [tuple(part.shape) for part in parts] == shapes

    def has_room(self, length):
        return self.used + length <= self.capacity

    def made(self, parts):
        return [part.new_empty(self.batch, self.capacity, part.shape[-1]) for part in parts]


class NoRoomLooked(Plain):
    def has_room(self, length):
        return True


class OneRowLess(Plain):
    def has_room(self, length):
        return self.used + length < self.capacity


class NoShapesLooked(Plain):
    def fits(self, parts, length):
        return self.has_room(length)


class OnlyFirstLooked(Plain):
    def fits(self, parts, length):
        return super().fits([parts[0], *self.dummies(parts, length)], length)

    def dummies(self, parts, length):
        return [torch.empty(self.batch, length, width) for width in self.widths[1:]]


class KeepsTheTensors(Plain):
    """Lists of what came, joined when asked, and rightly counted."""

    def append(self, *parts):
        length = parts[0].shape[1]
        if not self.fits(parts, length):
            raise ValueError("no")
        self.rows = getattr(self, "rows", [])
        self.buffers = self.buffers or self.made(parts)
        self.rows.append([p.detach().to(b) for p, b in zip(parts, self.buffers, strict=True)])
        self.used += length
        return tuple(torch.cat(every, dim=1) for every in zip(*self.rows, strict=True))


class OneForAll(Plain):
    shared = {}  # noqa: RUF012

    def made(self, parts):
        key = self.capacity, parts[0].dtype, parts[0].device
        return self.shared.setdefault(key, super().made(parts))


class OneRowMore(Plain):
    def made(self, parts):
        return [part.new_empty(self.batch, self.capacity + 1, part.shape[-1]) for part in parts]


@pytest.mark.parametrize(
    ("answer", "stage", "said"),
    [
        (NoRoomLooked, "exactly full fits, one more is refused", "ValueError"),
        (OneRowLess, "then one and a chunk: all positions in order", "ValueError"),
        (NoShapesLooked, "other shapes are refused, and nothing changes", "ValueError"),
        (OnlyFirstLooked, "other shapes are refused, and nothing changes", "ValueError"),
        (KeepsTheTensors, "later changes of what was appended do not reach it", "in place"),
        (OneForAll, "two caches share nothing", "two caches"),
        (OneRowMore, "nbytes counts all rows; 8x smaller at the plan's sizes", "capacity"),
    ],
)
def test_slips_of_a_cache_are_refused_where_they_belong(answer, stage, said):
    for seed in range(3):
        OneForAll.shared.clear()
        came, message = refused(check_latent_cache, answer, seed)
        assert came == stage and said in message


def test_a_cache_written_in_other_steps_passes():
    assert all(check_latent_cache(Plain, seed=seed).passed for seed in range(5))


# D3.3f


def fitted(directions, W_K, W_V, activations, d_latent, joint):
    """Separate latents along these directions; the joint ones are the reference's."""
    made = latents_from_mha(W_K, W_V, activations, d_latent, joint=joint)
    if not joint:
        for part, weight in (("k", W_K), ("v", W_V)):
            basis = directions(weight, activations @ weight.T)[:, :d_latent]
            getattr(made, f"{part}_down").weight.data = (basis.T @ weight).detach()
            getattr(made, f"{part}_up").weight.data = basis.detach()
    return made


def main_directions(rows):
    return torch.linalg.svd(rows).Vh.T


@pytest.mark.parametrize(
    ("directions", "said"),
    [
        (lambda weight, y: main_directions(weight.T), "directions of the weights alone"),
        (lambda weight, y: main_directions(y - y.mean(0)), "Is the mean of the keys taken off"),
        (lambda weight, y: main_directions(y).flip(-1), "weakest directions"),
    ],
)
def test_other_directions_lose_more_and_are_asked_about(directions, said):
    def answer(W_K, W_V, activations, d_latent, *, joint=False):
        return fitted(directions, W_K, W_V, activations, d_latent, joint)

    for seed in range(5):
        stage, message = refused(check_latents_from_mha, answer, seed)
        assert stage == "keys: the smallest squared error" and said in message


def test_any_basis_of_the_best_directions_is_right():
    def answer(W_K, W_V, activations, d_latent, *, joint=False):
        def turned(weight, y):
            best = main_directions(y)[:, :d_latent]
            return best @ torch.linalg.qr(torch.randn(d_latent, d_latent).to(best)).Q

        return fitted(turned, W_K, W_V, activations, d_latent, joint)

    assert all(check_latents_from_mha(answer, seed=seed).passed for seed in range(5))


@pytest.mark.parametrize("joint_as", ["narrow", "two latents"])
def test_joint_is_one_latent_of_twice_the_width(joint_as):
    def answer(W_K, W_V, activations, d_latent, *, joint=False):
        width = 2 * d_latent if joint and joint_as == "two latents" else d_latent
        return latents_from_mha(W_K, W_V, activations, min(width, len(W_K)))

    assert refused(check_latents_from_mha, answer)[0].startswith("joint: one latent")


def test_an_unwritten_part_is_named_first():
    names = dict(globals(), LatentProjections=audit.stub_of(check_latent_projections))
    source = (
        "def latents_from_mha(W_K, W_V, activations, d_latent, *, joint=False):\n"
        "    return LatentProjections(W_K.shape[1], d_latent, 1, len(W_K)).to(W_K)\n"
    )
    exec(source, names)
    assert "D3.1 LatentProjections" in refused(check_latents_from_mha, names["latents_from_mha"])[1]


# The investigations


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (lambda plain, right, factor: plain, "reach the angles"),
        (lambda plain, right, factor: plain / factor, "fast ones too"),
        (lambda plain, right, factor: plain + plain / factor - right, "Which end"),
        (lambda plain, right, factor: right.half(), "float64"),
        (lambda plain, right, factor: right.tolist(), "float64"),
        (lambda plain, right, factor: right / (2 * torch.pi), "radians per position"),
    ],
)
def test_slips_of_yarn_frequencies_are_asked_about(slip, said):
    def answer(d_rope, factor, *, trained=4096, theta=10_000.0):
        plain = yarn_frequencies(d_rope, 1.0, trained=trained, theta=theta)
        right = yarn_frequencies(d_rope, factor, trained=trained, theta=theta)
        return slip(plain, right, factor)

    assert said in refused(check_yarn_frequencies, answer)[1]


@pytest.mark.parametrize(
    ("ramp", "said"),
    [
        (lambda pair, first, last: ((pair - first) / (last - first)).clamp(min=0), "above 1?"),
        (lambda pair, first, last: (pair - first / (last - first)).clamp(0, 1), "in brackets"),
        (lambda pair, first, last: torch.sin((pair - first) / 9).clamp(0, 1), "in even steps"),
        (lambda pair, first, last: ((pair - first + 3) / 13).clamp(0, 1), "rises by 0.0769 a pair"),
        (lambda pair, first, last: ((pair - 8) / 17).clamp(0, 1), "rises by 0.0588 a pair, not by"),
    ],
)
def test_a_ramp_of_yarn_frequencies_is_told_as_it_is(ramp, said):
    def answer(d_rope, factor, **options):
        if options or d_rope != 64:
            return yarn_frequencies(d_rope, factor, **options)
        angle, share = yarn_frequencies(d_rope, 1.0), ramp(torch.arange(32), 10, 23)
        return angle * (1 - share) + angle / factor * share

    assert said in refused(check_yarn_frequencies, answer)[1]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"trained": 4096}, "Does `trained` reach the ramp"),
        ({"theta": 10_000.0}, "Does `theta` reach the angles"),
        ({"factor": 40.0}, "with factor=40: is factor read?"),
        ({"beta_fast": 32.0}, "Does `beta_fast` reach the ramp?"),
    ],
)
def test_what_yarn_frequencies_leaves_out_is_asked_about(given, said):
    def answer(d_rope, factor, *, beta_fast=32.0, **options):
        return yarn_frequencies(**({"d_rope": d_rope, "factor": factor} | options | given))

    assert said in refused(check_yarn_frequencies, answer)[1]


def test_yarn_in_float32_is_right():
    def answer(*sizes, **options):
        return yarn_frequencies(*sizes, **options).float()

    assert all(check_yarn_frequencies(answer, seed=seed).passed for seed in range(5))
