"""The checks of D3, in the order of the lesson."""

from checks.d3_mla.attention.absorbed import check_absorbed_decode
from checks.d3_mla.attention.attend import check_attend
from checks.d3_mla.attention.layer import check_mla
from checks.d3_mla.cache import check_latent_cache
from checks.d3_mla.conversion import check_latents_from_mha
from checks.d3_mla.energy import check_energy_kept
from checks.d3_mla.joint_latent import check_joint_latent
from checks.d3_mla.projections import check_latent_projections
from checks.d3_mla.queries import check_query_path
from checks.d3_mla.rotary_key import check_rotary_key
from checks.d3_mla.small_cache import check_small_cache
from checks.d3_mla.yarn import check_yarn_frequencies

CHECKS = (
    check_latent_projections,
    check_latent_cache,
    check_query_path,
    check_joint_latent,
    check_rotary_key,
    check_yarn_frequencies,
    check_attend,
    check_mla,
    check_latents_from_mha,
    check_absorbed_decode,
    check_energy_kept,
)

OPEN_TASKS = (check_small_cache,)
