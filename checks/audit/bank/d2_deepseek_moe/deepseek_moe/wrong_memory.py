"""Wrong answers to D2.3d DeepSeekMoE: what the layer remembers."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d2_deepseek_moe.deepseek_moe.steps import Stepwise
from solutions.d1_moe import expert_load


@wrong
class RemembersNothing(Stepwise):
    """No last_experts."""

    def forward(self, x):
        y = super().forward(x)
        del self.last_experts
        return y


@wrong
class RemembersFirst(Stepwise):
    """last_experts of the first forward pass for ever."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        self.last_experts = self.last_experts if before is None else before
        return y


@wrong
class RemembersWhileTraining(Stepwise):
    """last_experts only in training mode: stale in evaluation."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        self.last_experts = self.last_experts if self.training else before
        return y


@wrong
class RemembersAll(Stepwise):
    """last_experts grows by every forward pass."""

    def forward(self, x):
        before = getattr(self, "last_experts", None)
        y = super().forward(x)
        if before is not None:
            self.last_experts = torch.cat([before, self.last_experts])
        return y


@wrong
class RemembersByToken(Stepwise):
    """last_experts with the slices of a token side by side: (T, m·K)."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts.reshape(x.shape[0] * x.shape[1], -1)
        return y


@wrong
class RemembersByBatch(Stepwise):
    """last_experts of shape (B, L·m, K)."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts.unflatten(0, (len(x), -1))
        return y


@wrong
class RemembersFirstSegment(Stepwise):
    """last_experts of each token's first slice only."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts[:: self.num_segments]
        return y


@wrong
class RemembersLastSequence(Stepwise):
    """Sequence by sequence, and only the last one's choices are kept."""

    def forward(self, x):
        return torch.cat([Stepwise.forward(self, row[None]) for row in x])


@wrong
class RemembersGates(Stepwise):
    """The gates under the name of last_experts."""

    def route(self, rows):
        gates, experts = self.router(rows)
        self.gates = gates
        return gates, experts

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.gates.detach()
        return y


@wrong
class RemembersLoad(Stepwise):
    """The load of each expert under the name of last_experts."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = expert_load(self.last_experts, len(self.experts))
        return y


@wrong
class RemembersUnbiased(Stepwise):
    """last_experts are the choices as they would be without bias."""

    def forward(self, x):
        y = super().forward(x)
        rows = self.cut(x.detach().reshape(-1, x.shape[-1]))
        self.last_experts = self.router.gate(rows).topk(self.router.top_k, dim=-1).indices
        return y


@wrong
class RemembersSqueezed(Stepwise):
    """last_experts squeezed: one token or one choice loses its axis."""

    def forward(self, x):
        y = super().forward(x)
        self.last_experts = self.last_experts.squeeze()
        return y


@wrong
class RemembersOnTheClass(Stepwise):
    """last_experts of the class: every layer shows the choices of the one that ran last."""

    def forward(self, x):
        y = super().forward(x)
        type(self).last_experts = self.last_experts
        del self.last_experts
        return y
