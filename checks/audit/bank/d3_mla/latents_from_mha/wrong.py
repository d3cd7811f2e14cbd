"""Wrong answers to D3.3f latents_from_mha: which directions are kept."""

import torch
from torch.nn import functional as F

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.latents_from_mha.steps import basis_by_svd, fitted, loaded, rank_of
from solutions.d3_mla import LatentProjections, latents_from_mha


def along(basis):
    """Down: the weights along these directions; up: back along them."""
    return lambda weight, activations, rank: (
        basis(activations @ weight.T, rank).T @ weight,
        basis(activations @ weight.T, rank),
    )


@wrong
def svd_of_weights(W_K, W_V, activations, d_latent, *, joint=False):
    """The directions of the weights: what the inputs really are is ignored."""

    def pair(weight, activations, rank):
        basis = torch.linalg.svd(weight).U[:, :rank]
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def centred(W_K, W_V, activations, d_latent, *, joint=False):
    """PCA: the mean is taken off first, and the latent has no bias to put it back."""
    pair = along(lambda y, rank: basis_by_svd(y - y.mean(dim=0), rank))
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def pca_lowrank_centred(W_K, W_V, activations, d_latent, *, joint=False):
    """torch.pca_lowrank, which centres unless told not to."""
    pair = along(lambda y, rank: torch.pca_lowrank(y, q=rank, niter=20)[2])
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def smallest(W_K, W_V, activations, d_latent, *, joint=False):
    """eigh's first columns: it sorts the smallest first."""
    pair = along(lambda y, rank: torch.linalg.eigh(y.T @ y).eigenvectors[:, :rank])
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def largest_but_one(W_K, W_V, activations, d_latent, *, joint=False):
    """`[-rank - 1 : -1]`: the best direction is left out."""
    pair = along(lambda y, r: torch.linalg.eigh(y.T @ y).eigenvectors.roll(1, dims=1)[:, -r:])
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def rows_of_eigenvectors(W_K, W_V, activations, d_latent, *, joint=False):
    """Rows in place of columns of eigh's vectors."""
    pair = along(lambda y, rank: torch.linalg.eigh(y.T @ y).eigenvectors[-rank:].T)
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def columns_of_vh(W_K, W_V, activations, d_latent, *, joint=False):
    """Columns of Vh in place of its rows."""
    pair = along(lambda y, rank: torch.linalg.svd(y).Vh[:, :rank])
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def left_vectors(W_K, W_V, activations, d_latent, *, joint=False):
    """U in place of V: directions of the tokens, cut to fit."""

    def left(y, rank):
        vectors = torch.linalg.svd(y).U[: y.shape[1], :rank]
        return F.pad(vectors, (0, rank - vectors.shape[1], 0, y.shape[1] - len(vectors)))

    return fitted(along(left), W_K, W_V, activations, d_latent, joint)


@wrong
def first_coordinates(W_K, W_V, activations, d_latent, *, joint=False):
    """The first coordinates of keys and values as they stand."""
    pair = along(lambda y, rank: torch.eye(y.shape[1]).to(y)[:, :rank])
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def largest_coordinates(W_K, W_V, activations, d_latent, *, joint=False):
    """The coordinates that are largest on average, in place of directions."""

    def largest(y, rank):
        return torch.eye(y.shape[1]).to(y)[:, y.square().sum(dim=0).topk(rank).indices]

    return fitted(along(largest), W_K, W_V, activations, d_latent, joint)


@wrong
def random_directions(W_K, W_V, activations, d_latent, *, joint=False):
    """Random directions at right angles to each other."""
    pair = along(lambda y, rank: torch.linalg.qr(torch.randn(y.shape[1], rank).to(y)).Q)
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def first_rows(W_K, W_V, activations, d_latent, *, joint=False):
    """The directions of the first keys and values, at right angles: no order by size."""

    def first(y, rank):
        return torch.linalg.qr(torch.cat([y, torch.eye(y.shape[1]).to(y)])[:rank].T).Q

    return fitted(along(first), W_K, W_V, activations, d_latent, joint)


@wrong
def directions_of_inputs(W_K, W_V, activations, d_latent, *, joint=False):
    """The best directions of the inputs: best for x, not for its keys and values."""

    def pair(weight, activations, rank):
        inputs = torch.linalg.svd(activations, full_matrices=True).Vh[:rank]
        inputs = F.pad(inputs, (0, 0, 0, rank - len(inputs)))
        return inputs, weight @ inputs.T

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def rows_of_one_length(W_K, W_V, activations, d_latent, *, joint=False):
    """Each key and value brought to length one before the directions are sought."""
    pair = along(lambda y, rank: basis_by_svd(F.normalize(y, dim=-1), rank))
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def coordinates_of_one_size(W_K, W_V, activations, d_latent, *, joint=False):
    """Each coordinate brought to the same size: directions of the correlations."""
    pair = along(lambda y, rank: basis_by_svd(F.normalize(y, dim=0), rank))
    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def first_half_of_the_rows(W_K, W_V, activations, d_latent, *, joint=False):
    """The directions of the first half of the activations."""
    half = activations[: (len(activations) + 1) // 2]
    return latents_from_mha(W_K, W_V, half, d_latent, joint=joint)


@wrong
def keys_for_both(W_K, W_V, activations, d_latent, *, joint=False):
    """The directions of the keys used for the values too."""
    if joint:
        return latents_from_mha(W_K, W_V, activations, d_latent, joint=True)
    basis = basis_by_svd(activations @ W_K.T, rank_of(W_K, d_latent, joint))
    return loaded(basis.T @ W_K, basis.T @ W_V, basis, basis)


@wrong
def keys_twice(W_K, W_V, activations, d_latent, *, joint=False):
    """The weights of the keys for the values too."""
    return latents_from_mha(W_K, W_K, activations, d_latent, joint=joint)


@wrong
def never_loaded(W_K, W_V, activations, d_latent, *, joint=False):
    """A new module of the right sizes, its weights still random."""
    return LatentProjections(W_K.shape[1], rank_of(W_K, d_latent, joint), 1, len(W_K)).to(W_K)
