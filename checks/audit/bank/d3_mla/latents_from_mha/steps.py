"""What answers to D3.3f latents_from_mha are built from."""

import torch

from solutions.d3_mla import LatentProjections


def rank_of(W_K, d_latent, joint):
    """The refusal and the width of a latent that the exercise gives."""
    if not 1 <= d_latent <= len(W_K):
        raise ValueError(f"d_latent must be between 1 and W={len(W_K)}, got {d_latent}")
    return 2 * d_latent if joint else d_latent


def loaded(k_down, v_down, k_up, v_up):
    """The module that the exercise gives, with these weights."""
    made = LatentProjections(k_down.shape[1], len(k_down), 1, len(k_up)).to(k_down)
    names = ("k_down.weight", "v_down.weight", "k_up.weight", "v_up.weight")
    made.load_state_dict(dict(zip(names, (k_down, v_down, k_up, v_up), strict=True)))
    return made


def fitted(pair, W_K, W_V, activations, d_latent, joint):
    """The module whose weights `pair(weight, activations, rank)` gives: down (rank, D) and up."""
    rank = rank_of(W_K, d_latent, joint)
    if joint:
        down, up = pair(torch.cat([W_K, W_V]), activations, rank)
        return loaded(down, down, up[: len(W_K)], up[len(W_K) :])
    (k_down, k_up), (v_down, v_up) = (pair(weight, activations, rank) for weight in (W_K, W_V))
    return loaded(k_down, v_down, k_up, v_up)


def basis_by_svd(outputs, rank):
    """The right singular vectors (W, rank) of the largest singular values."""
    return torch.linalg.svd(outputs, full_matrices=True).Vh[:rank].T
