"""What the check of D3.3f says of a way through a latent, one half of which is wrong."""

import pytest
import torch
from torch.nn import functional as F

from checks import CheckFailed
from checks.audit.bank.d3_mla.latents_from_mha.steps import basis_by_svd, fitted, loaded
from checks.d3_mla.conversion import check_latents_from_mha
from solutions.d3_mla import LatentProjections, latents_from_mha


def through(down, up=None, basis=basis_by_svd):
    """Weights that down and up make of the weights and of directions of y."""

    def pair(weight, activations, rank):
        found = basis(activations @ weight.T, rank)
        return down(weight, found), up(weight, found) if up else found

    return lambda *inputs, joint=False: fitted(pair, *inputs, joint)


def directions(basis):
    return through(lambda W, b: b.T @ W, basis=basis)


def together(pair):
    """`pair` makes down, and up of keys and of values, for one joint latent."""

    def answer(W_K, W_V, activations, d_latent, *, joint=False):
        if not joint:
            return latents_from_mha(W_K, W_V, activations, d_latent)
        down, *ups = pair(W_K, W_V, activations, 2 * d_latent)
        return loaded(down, down, *ups)

    return answer


def of_the_keys(W_K, W_V, activations, rank):
    if rank > len(W_K):  # the case of 6 directions for keys of 8 numbers
        return random_down(W_K, W_V, activations, rank)
    basis = basis_by_svd(activations @ W_K.T, rank)
    down = basis.T @ W_K
    values = torch.linalg.pinv(activations @ down.T) @ activations @ W_V.T
    return down, basis, values.T


def random_down(W_K, W_V, activations, rank):
    down = torch.randn(rank, W_K.shape[1]).to(W_K)
    return down, W_K @ torch.linalg.pinv(down), W_V @ torch.linalg.pinv(down)


def twice_the_first_half(W_K, W_V, activations, rank):
    both = torch.cat([W_K, W_V])
    basis = basis_by_svd(activations @ both.T, rank)
    return basis.T @ both, basis[: len(W_K)], basis[: len(W_K)]


def never_loaded(W_K, W_V, activations, d_latent, *, joint=False):
    rank = 2 * d_latent if joint else d_latent
    return LatentProjections(W_K.shape[1], rank, 1, len(W_K)).to(W_K)


def values_of_keys(W_K, W_V, activations, d_latent, *, joint=False):
    return latents_from_mha(W_K, W_K, activations, d_latent, joint=joint)


def exchanged(W_K, W_V, activations, d_latent, *, joint=False):
    return latents_from_mha(W_V, W_K, activations, d_latent, joint=joint)


def thin(y, rank):
    return torch.linalg.svd(y, full_matrices=False).Vh[:rank].T


def left(y, rank):
    """Directions of the tokens, as many as fit."""
    vectors = torch.linalg.svd(y).U[: y.shape[1], :rank]
    return F.pad(vectors, (0, rank - vectors.shape[1], 0, y.shape[1] - len(vectors)))


def largest(y, rank):
    return torch.eye(y.shape[1]).to(y)[:, y.square().sum(0).topk(rank).indices]


def joint_alone_fails(W_K, W_V, activations, d_latent, *, joint=False):
    return [][0] if joint else latents_from_mha(W_K, W_V, activations, d_latent)


SLIPS = [
    (never_loaded, "are all four weights copied into what is returned?"),
    (values_of_keys, "These are the keys, where the values belong. Are the values made from W_V?"),
    (exchanged, "Are keys and values exchanged?"),
    (through(lambda W, b: b.flip(1).T @ W), "stand in one order?"),
    (through(lambda W, b: b.T @ W, lambda W, b: W @ W.T @ b), "Is up basis itself?"),
    (through(lambda W, b: torch.linalg.qr((b.T @ W).T).Q.T), "down does not read those"),
    (through(lambda W, b: b.T), "down reads x, of D="),
    (directions(left), "not at right angles and of length 1"),
    (directions(largest), "Are these the largest coordinates as they stand"),
    (directions(thin), "a latent of 6 numbers: are there so many directions?"),
    (together(of_the_keys), "Are they the directions of the keys alone?"),
    (together(twice_the_first_half), "is up one half of the directions for each?"),
    (joint_alone_fails, "list index out of range. That is with joint=True."),
]


@pytest.mark.parametrize(("answer", "ask"), SLIPS, ids=range(len(SLIPS)))
def test_a_slip_is_asked_about(answer, ask):
    for seed in range(3):
        with pytest.raises(CheckFailed) as failed:
            check_latents_from_mha(answer, seed=seed)
        assert ask in failed.value.message
