"""D2, the reference's answer to the open task: one way among many.

Letters: E = num_experts.
"""

from jaxtyping import Float, Int
from torch import Tensor


def steer(bias: Float[Tensor, " E"], load: Int[Tensor, " E"], batch: int) -> Float[Tensor, " E"]:
    """The bias after batch number `batch` of 100, from 0: from the one before it and its load.

    A busier expert's bias never rises more than an idler one's. The result has the type of `bias`
    and is finite, also for no load at all. What is given stays as it is, and nothing is remembered
    from call to call, since all layers share the rule.
    """
    # BEGIN SOLUTION
    missing = 1 - len(load) * load / load.sum().clamp(min=1)  # 1 for an idle expert, 0 at the mean
    move = missing.sign() * missing.abs().sqrt()
    return bias + 0.05 * min(1, (99 - batch) / 40) * move  # it stands still in the end
    # END SOLUTION
