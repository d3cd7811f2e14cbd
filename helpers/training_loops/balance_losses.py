"""The auxiliary losses that push a router towards an even load, to set beside DeepSeek's bias.

Letters: T tokens, B sequences of L tokens, E = num_experts, K = top_k. Both losses are 1 where
choices and affinities are even.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from helpers.measuring.traffic import layers_of


def switch_loss(affinity: Float[Tensor, "T E"], experts: Int[Tensor, "T K"]) -> Float[Tensor, ""]:
    """Switch's loss over the whole batch: `E · Σ f_i · P_i` (arXiv 2101.03961, eqs. 4-6).

    f is each expert's share of the choices and P its mean affinity, normalised per token as V3
    does for sigmoids (arXiv 2412.19437, eq. 19).
    """
    num_experts = affinity.shape[1]
    share = torch.bincount(experts.flatten(), minlength=num_experts) / experts.numel()
    mean = (affinity / affinity.sum(dim=-1, keepdim=True)).mean(dim=0)
    return num_experts * (share * mean).sum()


def sequence_loss(
    affinity: Float[Tensor, "T E"], experts: Int[Tensor, "T K"], length: int
) -> Float[Tensor, ""]:
    """V3's complementary loss: the same within each sequence of `length` tokens, averaged.

    The published α is 0.0001 (arXiv 2412.19437, eqs. 17-20 and section 4.2). Eq. 18 counts the
    top-k of the affinities alone; here those count that were chosen, with the bias, so the loss
    pushes less once the bias balances.
    """
    if length < 1 or len(affinity) % length:
        raise ValueError(f"length must divide the {len(affinity)} tokens, got {length}")
    pairs = zip(affinity.split(length), experts.split(length), strict=True)
    return torch.stack([switch_loss(*pair) for pair in pairs]).mean()


class Affinities:
    """Keeps each router's logits of the last forward pass, with their graph.

    They are computed beside the router, which may use its `gate` however it likes.
    """

    def __init__(self, model: nn.Module):
        self.logits: list[Tensor] = []
        self.hooks = [model.register_forward_pre_hook(lambda module, inputs: self.logits.clear())]
        for layer in layers_of(model):
            hook = layer.router.register_forward_pre_hook(
                lambda router, inputs: self.logits.append(router.gate(inputs[0]))
            )
            self.hooks.append(hook)

    def sigmoids(self) -> list[Float[Tensor, "T E"]]:
        """The affinities of each layer, first to last."""
        return [logits.sigmoid() for logits in self.logits]

    def remove(self) -> None:
        """Leaves the model as it was before."""
        for hook in self.hooks:
            hook.remove()
