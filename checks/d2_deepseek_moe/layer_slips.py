"""DeepSeek's layer by slow loops, and what slips make of it."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import slow_combination
from checks.d2_deepseek_moe.cases import Biased
from checks.grading import expect
from checks.grading.result import Built
from solutions import d2_deepseek_moe as reference


class SlowLayer:
    """What a layer's parts make of x `(B, L, D)`: rows `(T·m, D/m)`, their gates and experts."""

    def __init__(self, layer: Built, x: Tensor, case: Biased):
        self.layer, self.case = layer, case
        self.tokens = x.reshape(-1, case.d_model)
        self.rows = torch.cat([torch.stack(t.chunk(case.num_segments)) for t in self.tokens])
        self.gates, self.experts = self.route(self.rows)
        self.shared = layer.shared(self.tokens).detach()

    def route(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Of a reference router with the layer's weights and the case's options."""
        case, kept = self.case, self.layer.router.state_dict()
        sizes = rows.shape[1], case.num_experts, case.top_k
        own = reference.BiasedRouter(*sizes, **case.options()).to(case.dtype)
        same = {name: v.shape for name, v in own.state_dict().items()}
        if case.dtype != torch.float64 or same != {name: v.shape for name, v in kept.items()}:
            ask = (
                f"The check hands layer.router rows of width D/m = {rows.shape[1]}: is it made for "
                "slices, and not for whole tokens?"
            )
            with expect.asking(ask, "shapes cannot be multiplied"):
                return self.layer.router(rows)
        own.load_state_dict(kept)
        return own(rows)

    def routed(
        self,
        gates: Tensor | None = None,
        experts: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """`(T, D)`: the routed experts' shares, merged, also of other gates, experts or rows."""
        gates = self.gates if gates is None else gates
        experts = self.experts if experts is None else experts
        rows = self.rows if rows is None else rows
        made = slow_combination(rows, gates, experts, self.layer.experts).detach()
        return made.reshape(-1, self.case.d_model)

    def output(self) -> Tensor:
        """`(T, D)`."""
        return self.routed() + self.shared

    def slips(self, x: Tensor, got: Tensor) -> dict[str, Callable[[], Tensor]]:
        """Other outputs by the question that each calls for; `got` is what came."""
        return {
            **self._sum_slips(),
            **self._gate_slips(),
            **self._group_slips(x),
            **(self._segment_slips() if self.case.num_segments > 1 else {}),
            "Are positions and rows of the batch exchanged on the way back?": lambda: SlowLayer(
                self.layer, x.transpose(0, 1), self.case
            ).output(),
            **self._other_choices(x, got),
        }

    def _sum_slips(self) -> dict[str, Callable[[], Tensor]]:
        routed, shared, scale = self.routed(), self.shared, self.case.scale
        return {
            "Where are the shared experts added, as they are?": lambda: routed,
            "Are the shared experts added, and not taken off?": lambda: routed - shared,
            "Are the routed experts' shares added, and not taken off?": lambda: shared - routed,
            "Where do the routed experts' shares come in?": lambda: shared,
            "Does scale reach the shared experts? They are unscaled.": lambda: (
                routed + scale * shared
            ),
            "Are the gates multiplied by scale a second time? The router does it.": lambda: (
                scale * routed + shared
            ),
            "Are the shared experts added twice?": lambda: routed + 2 * shared,
            "Are the shared experts added once for every segment?": lambda: (
                routed + self.case.num_segments * shared
            ),
            "Is x added to the output? The residual is the block's work.": lambda: (
                routed + shared + self.tokens
            ),
            "Are routed and shared experts averaged? They are summed.": lambda: (
                (routed + shared) / 2
            ),
            "Are the routed experts' shares divided by the number of segments?": lambda: (
                routed / self.case.num_segments + shared
            ),
            "Do the shared experts read x, and not what the routed ones made?": lambda: (
                self.layer.shared(routed).detach()
            ),
            "Do the shared experts read the token x, and not the routed experts' output?": lambda: (
                routed + self.layer.shared(routed).detach()
            ),
            "Do the routed experts read x, and not what the shared ones made?": lambda: (
                SlowLayer(self.layer, shared[None], self.case).routed() + shared
            ),
        }

    def _gate_slips(self) -> dict[str, Callable[[], Tensor]]:
        gates, experts, shared = self.gates, self.experts, self.shared
        bias = self.layer.router.bias.to(gates.dtype)
        half = (len(self.rows) + 1) // 2
        again = torch.cat([torch.arange(half)] * 2)[: len(self.rows)]

        def normed() -> Tensor:
            return self.routed(*self.route(F.layer_norm(self.rows, self.rows.shape[-1:])))

        return {
            "Where do the gates come in?": lambda: self.routed(torch.ones_like(gates)) + shared,
            "Are the routed experts added once?": lambda: 2 * self.routed() + shared,
            "Are the shared experts added as they are, without a gate?": lambda: (
                self.routed() + shared * gates.mean()
            ),
            "Do the gates come in twice?": lambda: self.routed(gates**2) + shared,
            "Does the bias leak into the gates?": lambda: (
                self.routed(gates + bias[experts]) + shared
            ),
            "Are the gates renormalised once more? The router does what it is asked to.": lambda: (
                self.routed(gates / gates.sum(-1, keepdim=True)) + shared
            ),
            "Is only the first choice used?": lambda: (
                self.routed(gates[:, :1], experts[:, :1]) + shared
            ),
            "Does the router read the rows as they are, without a norm?": lambda: normed() + shared,
            "Is every row routed by itself, and not as another was?": lambda: (
                self.routed(gates[again], experts[again]) + shared
            ),
        }

    def _group_slips(self, x: Tensor) -> dict[str, Callable[[], Tensor]]:
        if self.case.num_groups == 1:
            return {}
        one_group = replace(self.case, num_groups=1, top_groups=1)
        return {
            "Are num_groups and top_groups handed to the router?": lambda: SlowLayer(
                self.layer, x, one_group
            ).output()
        }

    def _segment_slips(self) -> dict[str, Callable[[], Tensor]]:
        m, shared, count = self.case.num_segments, self.shared, len(self.tokens)
        first = torch.arange(len(self.rows)) // m * m
        mean = self.rows.unflatten(0, (-1, m)).mean(1).repeat_interleave(m, 0)
        strided = self.tokens.unflatten(1, (-1, m)).transpose(1, 2).reshape_as(self.rows)

        def as_strided(merged: Tensor) -> Tensor:
            return merged.unflatten(1, (m, -1)).transpose(1, 2).flatten(1)

        return {
            "Are the rows merged by merge_segments, in the order they were cut?": lambda: (
                self.routed().reshape(m, count, -1).transpose(0, 1).flatten(1) + shared
            ),
            "Are the slices of a token put side by side, and not interleaved?": lambda: (
                as_strided(self.routed()) + shared
            ),
            "Is a slice numbers side by side, and not every m-th number?": lambda: (
                as_strided(self.routed(*self.route(strided), rows=strided)) + shared
            ),
            "Is each slice routed by itself, and not as the token's first?": lambda: (
                self.routed(self.gates[first], self.experts[first]) + shared
            ),
            "Is each slice routed by itself, and not by the mean of the token's?": lambda: (
                self.routed(*self.route(mean)) + shared
            ),
        }

    def _other_choices(self, x: Tensor, got: Tensor) -> dict[str, Callable[[], Tensor]]:
        """For an output that no other slip explains: what its choices say of it."""
        kept = [sorted(row) for row in self.layer.last_experts.tolist()]
        if not expect.near(*(self.layer(x).detach() for _ in range(2))):
            return {"Is something drawn, or made anew, in forward?": lambda: got}
        if kept != [sorted(row) for row in self.experts.tolist()]:
            return {
                "Does the router read the rows cut from x, one slice of one token each?": (
                    lambda: got
                )
            }
        return {}
