"""Right answers to D3.3f latents_from_mha."""

import numpy as np
import torch

from checks.audit.answers import right
from checks.audit.bank.d3_mla.latents_from_mha.steps import basis_by_svd, fitted, rank_of
from solutions.d3_mla import LatentProjections

EQUIVALENT_MUTANTS = {
    (
        "downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=True)] → "
        "downs = [basis.T @ weight for basis, weight in zip(bases, weights)]"
    ): "there are as many of one as of the other",
    (
        "downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=True)] → "
        "downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=False)]"
    ): "there are as many of one as of the other",
}


@right
def by_svd_of_outputs(W_K, W_V, activations, d_latent, *, joint=False):
    """The right singular vectors of the keys and values themselves."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def in_double_sorted(W_K, W_V, activations, d_latent, *, joint=False):
    """The Gram matrix in float64, its eigenvectors sorted largest first, cast back at the end."""

    def pair(weight, activations, rank):
        outputs = activations.double() @ weight.double().T
        values, vectors = torch.linalg.eigh(outputs.T @ outputs)
        basis = vectors[:, values.argsort(descending=True)[:rank]]
        return (basis.T @ weight.double()).to(weight), basis.to(weight)

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def mean_over_rows_and_signs_turned(W_K, W_V, activations, d_latent, *, joint=False):
    """The mean of the outer products in place of their sum; every second direction reversed."""

    def pair(weight, activations, rank):
        outputs = activations @ weight.T
        moment = torch.einsum("ni,nj->ij", outputs, outputs) / len(outputs)
        basis = torch.linalg.eigh(moment).eigenvectors.flip(-1)[:, :rank]
        basis = basis * (-1) ** torch.arange(rank)
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def latents_in_another_basis(W_K, W_V, activations, d_latent, *, joint=False):
    """The same directions mixed in the latent and unmixed on the way up."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        mix = torch.eye(rank).to(weight) + 0.5 * torch.ones(rank, rank).to(weight).triu(1)
        return mix @ basis.T @ weight, torch.linalg.solve(mix, basis, left=False)

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def scaled_there_and_back(W_K, W_V, activations, d_latent, *, joint=False):
    """Each direction of the latent made larger on the way down, smaller on the way up."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        scale = torch.arange(1, rank + 1).to(weight)
        return (basis * scale).T @ weight, basis / scale

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def by_qr_of_activations(W_K, W_V, activations, d_latent, *, joint=False):
    """QR leaves a small R of the activations, and R's outputs have the same directions."""
    small = torch.linalg.qr(activations, mode="r").R

    def pair(weight, activations, rank):
        left = torch.linalg.svd(weight @ small.T, full_matrices=True).U
        return left[:, :rank].T @ weight, left[:, :rank]

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def by_root_of_covariance(W_K, W_V, activations, d_latent, *, joint=False):
    """The weights times the root of the activations' second moments, then an SVD of that."""
    values, vectors = torch.linalg.eigh(activations.T @ activations)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T

    def pair(weight, activations, rank):
        left = torch.linalg.svd(weight @ root).U
        return left[:, :rank].T @ weight, left[:, :rank]

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def one_direction_at_a_time(W_K, W_V, activations, d_latent, *, joint=False):
    """The best direction of what the ones before have left, as often as there are latents."""

    def pair(weight, activations, rank):
        rest, found = activations @ weight.T, []
        for _ in range(rank):
            direction = torch.linalg.eigh(rest.T @ rest).eigenvectors[:, -1:]
            rest = rest - rest @ direction @ direction.T
            found.append(direction)
        basis = torch.linalg.qr(torch.cat(found, dim=1)).Q
        return basis.T @ weight, basis

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def factors_of_the_best_map(W_K, W_V, activations, d_latent, *, joint=False):
    """The best weight of this rank first, then factors of it with the sizes on either side."""

    def pair(weight, activations, rank):
        basis = basis_by_svd(activations @ weight.T, rank)
        left, sizes, right = torch.linalg.svd(basis @ basis.T @ weight, full_matrices=False)
        kept = min(rank, len(sizes))
        down, up = weight.new_zeros(rank, weight.shape[1]), weight.new_zeros(len(weight), rank)
        down[:kept] = sizes[:kept].sqrt()[:, None] * right[:kept]
        up[:, :kept] = left[:, :kept] * sizes[:kept].sqrt()
        return down, up

    return fitted(pair, W_K, W_V, activations, d_latent, joint)


@right
def in_numpy(W_K, W_V, activations, d_latent, *, joint=False):
    """NumPy's SVD, the parts written into the module one by one."""
    rank = rank_of(W_K, d_latent, joint)
    made = LatentProjections(W_K.shape[1], rank, 1, len(W_K)).to(W_K)
    keys, values = (weight.detach().numpy() for weight in (W_K, W_V))
    x = activations.detach().numpy()
    stacks = [np.vstack([keys, values])] * 2 if joint else [keys, values]
    bases = [np.linalg.svd(x @ weight.T)[2][:rank] for weight in stacks]
    ups = np.split(bases[0], 2, axis=1) if joint else bases
    with torch.no_grad():
        made.k_down.weight.copy_(torch.from_numpy(bases[0] @ stacks[0]))
        made.v_down.weight.copy_(torch.from_numpy(bases[1] @ stacks[1]))
        made.k_up.weight.copy_(torch.from_numpy(ups[0].T.copy()))
        made.v_up.weight.copy_(torch.from_numpy(ups[1].T.copy()))
    return made
