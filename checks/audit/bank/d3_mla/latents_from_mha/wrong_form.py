"""Wrong answers to D3.3f latents_from_mha: down and up, the joint latent, the inputs."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d3_mla.latents_from_mha.steps import basis_by_svd, fitted, loaded, rank_of
from solutions.d3_mla import latents_from_mha

# --- down and up --------------------------------------------------------------------------------


@wrong
def down_without_weight(W_K, W_V, activations, d_latent, *, joint=False):
    """The directions themselves on the way down, as if x were a key already."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        return basis.T, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def weights_transposed(W_K, W_V, activations, d_latent, *, joint=False):
    """x @ W in place of x @ W.T when the directions are sought: fits where W is square."""

    def pair(weight, activations, rank):
        outputs = torch.cat([activations @ part for part in weight.split(len(W_K))], dim=-1)
        basis = basis_by_svd(outputs, rank)
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def sizes_on_the_way_down(W_K, W_V, activations, d_latent, *, joint=False):
    """Singular values on the way down, and nothing on the way up that takes them back."""

    def pair(weight, activations, rank):
        outputs = activations @ weight.T
        basis = basis_by_svd(outputs, rank)
        return (basis * (outputs @ basis).norm(dim=0)).T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def roots_of_sizes_on_either_side(W_K, W_V, activations, d_latent, *, joint=False):
    """The singular values' roots on both sides, as in a factored weight: they are in W already."""

    def pair(weight, activations, rank):
        outputs = activations @ weight.T
        basis = basis_by_svd(outputs, rank)
        basis = basis * (outputs @ basis).norm(dim=0).sqrt()
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def divided_by_sizes(W_K, W_V, activations, d_latent, *, joint=False):
    """Whitened latents, and keys and values whitened with them."""

    def pair(weight, activations, rank):
        outputs = activations @ weight.T
        basis = basis_by_svd(outputs, rank)
        return (basis / (1e-3 + (outputs @ basis).norm(dim=0))).T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def orthonormal_down(W_K, W_V, activations, d_latent, *, joint=False):
    """The down projections made orthonormal, and up left as it was."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        left, _, right = torch.linalg.svd(basis.T @ weight, full_matrices=False)
        return left @ right, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def other_order_on_the_way_up(W_K, W_V, activations, d_latent, *, joint=False):
    """Up has the largest direction first, down the smallest."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        return basis.flip(1).T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def up_from_down(W_K, W_V, activations, d_latent, *, joint=False):
    """Up as W times down's transpose, as if the rows of down were orthonormal."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        return basis.T @ weight, weight @ (basis.T @ weight).T

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def values_and_keys_exchanged(W_K, W_V, activations, d_latent, *, joint=False):
    """The weights of the values where those of the keys belong, and the other way round."""
    return latents_from_mha(W_V, W_K, activations, d_latent, joint=joint)


# --- joint --------------------------------------------------------------------------------------


@wrong
def joint_ignored(W_K, W_V, activations, d_latent, *, joint=False):
    """Two latents of d_latent, whatever joint says."""
    return latents_from_mha(W_K, W_V, activations, d_latent)


@wrong
def joint_of_one_width(W_K, W_V, activations, d_latent, *, joint=False):
    """A joint latent of d_latent: half the width it may have."""
    rank = rank_of(W_K, d_latent, joint=False)
    if not joint:
        return latents_from_mha(W_K, W_V, activations, d_latent)
    weight = torch.cat([W_K, W_V])
    basis = basis_by_svd(activations @ weight.T, rank)
    down = basis.T @ weight
    return loaded(down, down, *basis.split(len(W_K)))


@wrong
def joint_of_two_bases(W_K, W_V, activations, d_latent, *, joint=False):
    """The best d_latent of the keys and of the values side by side in one latent."""
    if not joint:
        return latents_from_mha(W_K, W_V, activations, d_latent)
    keys, values = (
        basis_by_svd(activations @ weight.T, rank_of(W_K, d_latent, joint=False))
        for weight in (W_K, W_V)
    )
    down = torch.cat([keys.T @ W_K, values.T @ W_V])
    zeros = torch.zeros_like(keys)
    return loaded(down, down, torch.cat([keys, zeros], 1), torch.cat([zeros, values], 1))


@wrong
def two_latents_of_twice_the_width(W_K, W_V, activations, d_latent, *, joint=False):
    """With joint two latents of 2·d_latent each: twice what may be cached."""

    def of(weight):
        y = activations @ weight.T
        basis = basis_by_svd(torch.cat([y, torch.zeros_like(y)], 1), rank_of(W_K, d_latent, joint))
        return basis[: len(weight)].T @ weight, basis[: len(weight)]

    (k_down, k_up), (v_down, v_up) = of(W_K), of(W_V)
    return loaded(k_down, v_down, k_up, v_up)


@wrong
def joint_in_one_list(W_K, W_V, activations, d_latent, *, joint=False):
    """Keys and values under each other: one set of directions for the sum of both."""
    if not joint:
        return latents_from_mha(W_K, W_V, activations, d_latent)
    rows = torch.cat([activations @ W_K.T, activations @ W_V.T])
    basis = basis_by_svd(torch.cat([rows, 0 * rows], 1), rank_of(W_K, d_latent, joint))[: len(W_K)]
    down = basis.T @ (W_K + W_V) / 2
    return loaded(down, down, basis, basis)


@wrong
def joint_halves_exchanged(W_K, W_V, activations, d_latent, *, joint=False):
    """The halves of the joint directions in each other's place on the way up."""
    made = latents_from_mha(W_K, W_V, activations, d_latent, joint=joint)
    if joint:
        made.k_up, made.v_up = made.v_up, made.k_up
    return made


@wrong
def joint_scaled_alike(W_K, W_V, activations, d_latent, *, joint=False):
    """Keys and values brought to one size first: the smaller error counts for more than it is."""
    if not joint:
        return latents_from_mha(W_K, W_V, activations, d_latent)
    sizes = [(activations @ weight.T).norm() for weight in (W_K, W_V)]
    weight = torch.cat([W / size for W, size in zip((W_K, W_V), sizes, strict=True)])
    basis = basis_by_svd(activations @ weight.T, rank_of(W_K, d_latent, joint))
    down, (k_up, v_up) = basis.T @ weight, basis.split(len(W_K))
    return loaded(down, down, k_up * sizes[0], v_up * sizes[1])


@wrong
def joint_for_keys_alone(W_K, W_V, activations, d_latent, *, joint=False):
    """The joint latent is the best for the keys; the values come from it as well as they can."""
    if not joint:
        return latents_from_mha(W_K, W_V, activations, d_latent)
    keys = activations @ W_K.T
    basis = basis_by_svd(torch.cat([keys, 0 * keys], 1), rank_of(W_K, d_latent, joint))[: len(W_K)]
    down = basis.T @ W_K
    v_up = torch.linalg.pinv(activations @ down.T) @ activations @ W_V.T
    return loaded(down, down, basis, v_up.T)


# --- the inputs ---------------------------------------------------------------------------------


@wrong
def spoils_weights(W_K, W_V, activations, d_latent, *, joint=False):
    """Right latents, and the compressed keys' weight written back over the caller's."""
    made = latents_from_mha(W_K, W_V, activations, d_latent, joint=joint)
    W_K.data.copy_(made.k_up.weight.detach() @ made.k_down.weight.detach())
    return made


@wrong
def spoils_activations(W_K, W_V, activations, d_latent, *, joint=False):
    """Right latents, and the caller's activations come back less their mean."""
    made = latents_from_mha(W_K, W_V, activations, d_latent, joint=joint)
    activations -= activations.mean(dim=0)
    return made


@wrong
def by_cholesky(W_K, W_V, activations, d_latent, *, joint=False):
    """The activations whitened by a Cholesky factor: an error where they are fewer than wide."""

    def pair(weight, activations, rank):
        factor = torch.linalg.cholesky(activations.T @ activations)
        basis = torch.linalg.svd(weight @ factor).U[:, :rank]
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@wrong
def no_more_directions_than_rows(W_K, W_V, activations, d_latent, *, joint=False):
    """The reduced decomposition, which has min(N, W) directions and not W."""

    def pair(weight, activations, rank):
        basis = torch.linalg.svd(activations @ weight.T, full_matrices=False).Vh[:rank].T
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)
