"""Right and wrong answers to the exercises of D3."""

from checks.answers import (
    d3_absorbed_right,
    d3_absorbed_wrong,
    d3_absorbed_wrong_form,
    d3_attend_right,
    d3_attend_wrong,
    d3_attend_wrong_mask,
    d3_cache_right,
    d3_cache_wrong,
    d3_cache_wrong_form,
    d3_cache_wrong_room,
    d3_convert_right,
    d3_convert_wrong,
    d3_convert_wrong_form,
    d3_energy,
    d3_in_place,
    d3_key_right,
    d3_key_wrong,
    d3_latent_right,
    d3_latent_wrong,
    d3_mla_right,
    d3_mla_wrong,
    d3_mla_wrong_cache,
    d3_mla_wrong_form,
    d3_mla_wrong_position,
    d3_projections_right,
    d3_projections_wrong,
    d3_queries_right,
    d3_queries_wrong,
    d3_queries_wrong_turn,
    d3_state,
    d3_yarn_right,
    d3_yarn_wrong,
)
from checks.answers.bank import Bank

_PARTS = (
    d3_projections_right,
    d3_projections_wrong,
    d3_in_place,
    d3_cache_right,
    d3_cache_wrong,
    d3_cache_wrong_room,
    d3_cache_wrong_form,
    d3_queries_right,
    d3_queries_wrong,
    d3_queries_wrong_turn,
    d3_latent_right,
    d3_latent_wrong,
    d3_key_right,
    d3_key_wrong,
    d3_attend_right,
    d3_attend_wrong,
    d3_attend_wrong_mask,
    d3_mla_wrong_cache,
    d3_mla_wrong_position,
    d3_mla_right,
    d3_mla_wrong,
    d3_mla_wrong_form,
    d3_state,
    d3_convert_right,
    d3_convert_wrong,
    d3_convert_wrong_form,
    d3_absorbed_right,
    d3_absorbed_wrong,
    d3_absorbed_wrong_form,
    d3_energy,
    d3_yarn_right,
    d3_yarn_wrong,
)

bank = Bank("d3_mla", *(part.bank for part in _PARTS))

bank.equivalent.update(
    {
        (
            "D3.2",
            "buffer[:, self.used:end] = part.detach() → buffer[:, self.used:end] = part",
        ): "what is cached is read without gradients; the contract is about numbers",
        (
            "D3.2",
            "for buffer, part in zip(self.buffers, parts, strict=True): → "
            "for buffer, part in zip(self.buffers, parts):",
        ): "the number of parts was compared before",
        (
            "D3.2",
            "length = max((part.shape[1] for part in parts if part.ndim == 3), default=0) → "
            "length = max((part.shape[1] for part in parts if part.ndim == 3))",
        ): "max of nothing is a ValueError too",
        (
            "D3.3e",
            "start = 0 if cache is None else len(cache) → "
            "start = 1 if cache is None else len(cache)",
        ): "without a cache only differences of positions count",
        (
            "D3.3f",
            "downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=True)] → "
            "downs = [basis.T @ weight for basis, weight in zip(bases, weights)]",
        ): "there are as many of one as of the other",
        (
            "D3.3f",
            "downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=True)] → "
            "downs = [basis.T @ weight for basis, weight in zip(bases, weights, strict=False)]",
        ): "there are as many of one as of the other",
        (
            "D3.I2",
            "ramp = ((pair - first) / max(last - first, 0.001)).clamp(0, 1) → "
            "ramp = ((pair - first) / max(0.001, last - first)).clamp(0, 1)",
        ): "the greater of two numbers in either order",
    }
)
