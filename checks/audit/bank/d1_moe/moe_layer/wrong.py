"""Wrong answers to D1.5 MoELayer: the choices it remembers and the routing."""

import torch

from checks.audit.answers import wrong
from solutions.d1_moe import MoELayer, TopKRouter, dispatch_combine


@wrong
class AddsResidual(MoELayer):
    """Adds x, which is the block's job."""

    def forward(self, x):
        return x + super().forward(x)


@wrong
class RemembersNothing(MoELayer):
    """No last_experts."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, experts = self.router(tokens)
        return dispatch_combine(tokens, gates, experts, self.experts).reshape(x.shape)


@wrong
class RemembersByBatch(MoELayer):
    """last_experts of shape (B, L, K)."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts.unflatten(0, x.shape[:2])
        return y


@wrong
class RemembersFirst(MoELayer):
    """last_experts of the first forward pass for ever."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if before is not None:
            self.last_experts = before
        return y


@wrong
class RemembersWhileTraining(MoELayer):
    """last_experts only in training mode: stale in evaluation."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if not self.training:
            self.last_experts = before
        return y


@wrong
class RemembersAll(MoELayer):
    """last_experts grows by every forward pass."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if before is not None:
            self.last_experts = torch.cat([before, self.last_experts])
        return y


@wrong
class RemembersGates(MoELayer):
    """The gates under the name of last_experts."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        self.last_experts, experts = self.router(tokens)
        y = dispatch_combine(tokens, self.last_experts, experts, self.experts)
        return y.reshape(x.shape)


@wrong
class RemembersFirstChoice(MoELayer):
    """last_experts holds slot 0 only."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts[:, 0]
        return y


@wrong
class RemembersLastRow(MoELayer):
    """Sequence by sequence, and only the last one's choices are kept."""

    def forward(self, x):
        return torch.cat([MoELayer.forward(self, row[None]) for row in x])


@wrong
class RemembersByPosition(MoELayer):
    """last_experts position by position, not sequence by sequence."""

    def forward(self, x):
        y = super().forward(x)
        choices = self.last_experts.unflatten(0, x.shape[:2])
        self.last_experts = choices.transpose(0, 1).flatten(0, 1)
        return y


@wrong
class PositionMajor(MoELayer):
    """Rows position by position going in, sequence by sequence coming out."""

    def forward(self, x):
        return super().forward(x.transpose(0, 1)).reshape(x.shape)


@wrong
class FeaturesMixed(MoELayer):
    """`reshape(D, -1).T`: a row is made of many tokens' features."""

    def forward(self, x):
        tokens = x.reshape(x.shape[-1], -1).T
        gates, self.last_experts = self.router(tokens)
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.T.reshape(x.shape)


@wrong
class FirstSequenceOnly(MoELayer):
    """Routes by the first sequence of the batch only."""

    def forward(self, x):
        gates, experts = self.router(x[0])
        self.last_experts = experts.repeat(len(x), 1)
        gates, tokens = gates.repeat(len(x), 1), x.flatten(0, 1)
        return dispatch_combine(tokens, gates, self.last_experts, self.experts).view(x.shape)


@wrong
class OneChoiceASequence(MoELayer):
    """The mean of a sequence decides for all its tokens."""

    def forward(self, x):
        gates, experts = (y.repeat_interleave(x.shape[1], 0) for y in self.router(x.mean(dim=1)))
        self.last_experts = experts
        return dispatch_combine(x.flatten(0, 1), gates, experts, self.experts).view(x.shape)


@wrong
class NoisyRouting(MoELayer):
    """Noise on the tokens before they are routed, for the choices it remembers too."""

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        gates, self.last_experts = self.router(tokens + torch.randn_like(tokens))
        y = dispatch_combine(tokens, gates, self.last_experts, self.experts)
        return y.reshape(x.shape)


@wrong
class RoutedTwice(MoELayer):
    """Remembers the choices of a second, noisy routing."""

    def forward(self, x):
        y = super().forward(x)
        tokens = x.reshape(-1, x.shape[-1])
        self.last_experts = self.router(tokens + torch.randn_like(tokens))[1]
        return y


@wrong
class RouterEachTime(MoELayer):
    """A new router in every forward pass."""

    def forward(self, x):
        num_experts, width = self.router.gate.weight.shape
        self.router = TopKRouter(width, num_experts, self.router.top_k).to(x.dtype)
        return super().forward(x)
