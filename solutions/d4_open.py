"""D4, the reference's answer to the open task: one way among many."""

from typing import Any

from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.yarn import Yarn


def my_config(vocab_size: int) -> DeepSeekConfig:
    """A DeepSeek for so many tokens, which learns much in a short training.

    With 1,024 tokens it has at most 690,240 active parameters, as many as the lesson's `small`,
    and at most 20 million in all. The same vocabulary always gives the same configuration, and
    torch stays as it was.
    """
    # BEGIN SOLUTION
    sharper = Yarn(factor=2.0, trained=2**20, mscale_all_dim=6.0)  # all scores times two
    sizes: Any = {"num_layers": 4, "d_model": 128, "num_heads": 4, "d_head": 32, "d_latent": 64}
    experts: Any = {"num_experts": 16, "top_k": 2, "expert_dim": 32, "num_shared": 1}
    return DeepSeekConfig(
        vocab_size=vocab_size, d_rope=16, theta=200.0, yarn=sharper, **sizes, **experts
    )
    # END SOLUTION
