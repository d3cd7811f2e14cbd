"""D4's third investigation, the reference: experts that lie on several machines.

Letters: T tokens of this process, K = top_k, E = num_experts, n processes, N = E / n experts of
each, D = d_model. Process r holds the experts r·N to (r + 1)·N - 1.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch import distributed as dist
from torch.distributed import ProcessGroup

from helpers.model.interfaces import ExpertList
from helpers.parallel.exchange import exchange
from solutions.d1_moe import expert_load
from solutions.d2_deepseek_moe import DeepSeekMoE, update_bias


def rows_to_send(
    experts: Int[Tensor, "T K"], num_experts: int, num_processes: int
) -> tuple[Int[Tensor, " T*K"], Int[Tensor, "n N"]]:
    """The order in which a process sends its rows, and how many go to each expert of each process.

    A row is a choice, and choice c belongs to token c // K. The rows stand in the order of their
    experts, so that those for process 0 come first; rows for the same expert keep their order.
    """
    if num_processes < 1 or num_experts % num_processes:
        raise ValueError(
            f"num_processes must divide the {num_experts} experts, got {num_processes}"
        )
    # BEGIN SOLUTION
    order = experts.flatten().argsort(stable=True)
    return order, expert_load(experts, num_experts).reshape(num_processes, -1)
    # END SOLUTION


def expert_parallel_dispatch(
    x: Float[Tensor, "T D"],
    gates: Float[Tensor, "T K"],
    experts: Int[Tensor, "T K"],
    local_experts: ExpertList,
    group: ProcessGroup,
) -> Float[Tensor, "T D"]:
    """`dispatch_combine` with the experts of all processes of `group`, of which this one holds N.

    Counts travel first, then rows; each process runs its own experts, each once and also on no
    row, and what they return travels back (arXiv 2412.19437, section 3.2). T may differ between
    processes, and be 0.
    """
    n = dist.get_world_size(group)
    # BEGIN SOLUTION
    order, counts = rows_to_send(experts, n * len(local_experts), n)
    arriving = exchange(counts, [1] * n, [1] * n, group)  # (n, N): from each process, to mine
    send, receive = counts.sum(dim=1).tolist(), arriving.sum(dim=1).tolist()
    token = order // experts.shape[1]
    rows = exchange(x[token], send, receive, group)  # by process, then by expert
    mine = torch.arange(len(local_experts)).repeat(n).repeat_interleave(arriving.flatten().cpu())
    by_expert = mine.argsort(stable=True).to(x.device)
    runs = rows[by_expert].split(arriving.sum(dim=0).tolist())
    out = torch.cat([local_experts[i](run) for i, run in enumerate(runs)])
    back = exchange(torch.empty_like(out).index_copy(0, by_expert, out), receive, send, group)
    return torch.zeros_like(x).index_add(0, token, gates.flatten()[order, None] * back)
    # END SOLUTION


def rebalance_together(
    layer: DeepSeekMoE, real: Bool[Tensor, "B L"], step: float, group: ProcessGroup
) -> Int[Tensor, " E"]:
    """`rebalance` by the load of all processes of `group`, which it returns.

    Every process holds the same bias, and so it stays: each moves it by the same load. A process
    may have no real token, or no token at all.
    """
    # BEGIN SOLUTION
    rows = real.reshape(-1).repeat_interleave(layer.num_segments)
    load = expert_load(layer.last_experts[rows], len(layer.router.bias))
    dist.all_reduce(load, group=group)
    layer.router.bias.copy_(update_bias(layer.router.bias, load, step))
    return load
    # END SOLUTION
