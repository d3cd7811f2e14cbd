"""Wrong answers to D1.1 TopKRouter: equal logits, large logits, bfloat16, sizes that cannot be."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d1_moe.top_k_router.steps import chosen
from solutions.d1_moe import TopKRouter


@wrong
class AtTheThreshold(TopKRouter):
    """All experts at or above the K-th probability: more than K where some are equal."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        least = probs.topk(self.top_k, dim=-1).values[:, -1:]
        experts = (probs >= least).nonzero()[:, 1].view(len(x), self.top_k)
        gates = probs.gather(1, experts)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class ByEqualValues(TopKRouter):
    """Each gate looked up among the probabilities: equal ones lead to one and the same expert."""

    def forward(self, x):
        probs = self.gate(x).softmax(dim=-1)
        gates = probs.topk(self.top_k, dim=-1).values
        experts = (probs[:, None] == gates[..., None]).int().argmax(dim=-1)
        return gates / gates.sum(dim=-1, keepdim=True), experts


@wrong
class ExpAlone(TopKRouter):
    """The softmax written out without taking the largest logit off: NaN from a logit of 89 on."""

    def forward(self, x):
        powers = self.gate(x).exp()
        return chosen(powers / powers.sum(dim=-1, keepdim=True), self.top_k)


@wrong
class CutOffLogits(TopKRouter):
    """The softmax written out, with logits cut off at 50 against overflow."""

    def forward(self, x):
        powers = self.gate(x).clamp(-50, 50).exp()
        return chosen(powers / powers.sum(dim=-1, keepdim=True), self.top_k)


@wrong
class KeepsFloat32(TopKRouter):
    """The softmax in float32 at least, and not cast back: gates of bfloat16 tokens are wider."""

    def forward(self, x):
        wide = torch.promote_types(x.dtype, torch.float32)
        return chosen(self.gate(x).softmax(dim=-1, dtype=wide), self.top_k)


@wrong
class ReadsFloat32(TopKRouter):
    """x is brought to float32 and the weight is not: a router in bfloat16 raises."""

    def forward(self, x):
        gates, experts = super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))
        return gates.to(x.dtype), experts
