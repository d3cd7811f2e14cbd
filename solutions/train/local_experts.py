"""A model whose experts lie on several processes: each keeps its own and drops the others."""

from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import ProcessGroup

from helpers.measuring.traffic import layers_of

Dispatch = Callable[..., Tensor]


class LocalExperts(nn.Module):
    """The experts of one process; `local[i]` is its i-th, under its number among all."""

    def __init__(self, experts: Any, first: int, count: int):
        super().__init__()
        self.first, self.count = first, count
        numbers = range(first, first + count)
        self.experts = nn.ModuleDict({str(i): experts[i] for i in numbers})

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> nn.Module:
        return self.experts[str(self.first + i)]


class ExpertParallelMoE(nn.Module):
    """A DeepSeekMoE that sends rows to the process of their expert; all else is the layer's own."""

    def __init__(self, layer: Any, group: ProcessGroup, rank: int, parts: dict[str, Any]):
        super().__init__()
        count = len(layer.experts) // group.size()
        self.router, self.shared, self.num_segments = (
            layer.router,
            layer.shared,
            layer.num_segments,
        )
        self.experts = LocalExperts(layer.experts, rank * count, count)
        self.group, self.parts = group, parts

    def forward(self, x: Float[Tensor, "B L D"]) -> Float[Tensor, "B L D"]:
        tokens = x.reshape(-1, x.shape[-1])
        rows = self.parts["segment_tokens"](tokens, self.num_segments)
        gates, self.last_experts = self.router(rows)
        routed = self.parts["expert_parallel_dispatch"](
            rows, gates, self.last_experts, self.experts, self.group
        )
        y = self.parts["merge_segments"](routed, self.num_segments) + self.shared(tokens)
        return y.reshape(x.shape)


def keep_local_experts(model: nn.Module, group: ProcessGroup, parts: dict[str, Any]) -> None:
    """Every layer with experts becomes an `ExpertParallelMoE` over `group`.

    Parameters keep their names. Raises a ValueError unless the processes divide the experts.
    """
    rank = group.rank()
    blocks: Any = model.blocks
    for block in blocks:
        if block.ffn not in layers_of(model):
            continue
        count = len(block.ffn.experts)
        if count % group.size():
            raise ValueError(f"{group.size()} processes cannot share {count} experts evenly")
        block.ffn = ExpertParallelMoE(block.ffn, group, rank, parts)
