"""Wrong answers to D1.1 TopKRouter: what hangs on the mode, the type or the seed."""

import torch
from torch import nn

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.top_k_router.steps import chosen
from solutions.d1_moe import TopKRouter


@wrong
class RenormalisedWhileTraining(TopKRouter):
    """The gates are renormalised in training mode only."""

    def forward(self, x):
        gates, experts = self.gate(x).softmax(dim=-1).topk(self.top_k, dim=-1)
        return gates / gates.sum(dim=-1, keepdim=True) if self.training else gates, experts


@wrong
class SharperInEvaluation(TopKRouter):
    """Half the temperature outside training, as in sampling."""

    def forward(self, x):
        logits = self.gate(x) if self.training else 2 * self.gate(x)
        return chosen(logits.softmax(dim=-1), self.top_k)


@wrong
class BestTwiceInEvaluation(TopKRouter):
    """In evaluation the best expert fills every slot."""

    def forward(self, x):
        gates, experts = super().forward(x)
        return gates, experts if self.training else experts[:, :1].expand_as(experts)


@wrong
class FrozenInEvaluation(TopKRouter):
    """No gradient outside training, though a frozen model in front still needs one."""

    def forward(self, x):
        with torch.set_grad_enabled(self.training):
            return super().forward(x)


@wrong
class CentredInEvaluation(TopKRouter):
    """x is centred in place, in evaluation only."""

    def forward(self, x):
        if not self.training:
            x -= x.mean(dim=-1, keepdim=True)
        return super().forward(x)


@wrong
class SeedInConstructor(TopKRouter):
    """torch.manual_seed in the constructor: whatever the caller draws next is always the same."""

    def __init__(self, d_model, num_experts, top_k):
        torch.manual_seed(0)
        super().__init__(d_model, num_experts, top_k)


@wrong
class SeedInForward(TopKRouter):
    """torch.manual_seed in forward, so that it comes out the same twice."""

    def forward(self, x):
        torch.manual_seed(0)
        return super().forward(x)


@wrong
class DoubleInConstructor(TopKRouter):
    """float64 weights, whatever the caller's type is."""

    def __init__(self, d_model, num_experts, top_k):
        super().__init__(d_model, num_experts, top_k)
        self.gate = nn.Linear(d_model, num_experts, bias=False, dtype=torch.float64)
