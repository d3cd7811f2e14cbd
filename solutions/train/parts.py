"""The parts that a training runs on, by name."""

from typing import Any

from solutions import d1_moe, d2_deepseek_moe, d3_mla, d4_deepseek, d4_machines

REFERENCE = d1_moe, d2_deepseek_moe, d3_mla, d4_deepseek, d4_machines
# Those that run in it; the others of the lessons write, measure, or train in one process.
USED = (
    "ExpertArray",
    "expert_load",
    "segment_tokens",
    "merge_segments",
    "SharedExperts",
    "keep_top_groups",
    "BiasedRouter",
    "update_bias",
    "DeepSeekMoE",
    "QueryPath",
    "JointLatent",
    "RotaryKey",
    "attend",
    "MultiHeadLatentAttention",
    "DeepSeekBlock",
    "DeepSeek",
    "masked_loss",
    "rows_to_send",
    "expert_parallel_dispatch",
    "rebalance_together",
)


def reference_parts() -> dict[str, Any]:
    """The reference's classes and functions, by name."""
    return {name: value for module in REFERENCE for name, value in vars(module).items()}
