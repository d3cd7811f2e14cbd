"""Slow judges of D4.I3: what travels counted by hand, and dispatch a token at a time."""

import torch
from torch import distributed as dist
from torch import nn

from checks.processes.pool import together
from helpers.model.llama import SwiGLU
from solutions import d4_machines as reference
from solutions.d2_deepseek_moe import DeepSeekMoE
from tests.oracle.comparison import tensor_faults, unchanged, x_

WIDTH = 4


def at_rows(answer, tokens, num_experts, processes, top_k):
    """Choices one after the other, each put behind those of lower experts."""
    experts = torch.rand(tokens, num_experts).topk(top_k).indices
    before = experts.clone()
    order, counts = answer(experts, num_experts, processes)
    flat = before.flatten().tolist()
    wanted = [c for e in range(num_experts) for c, chosen in enumerate(flat) if chosen == e]
    local = num_experts // processes
    table = torch.zeros(processes, local, dtype=torch.int64)
    for chosen in flat:
        table[chosen // local, chosen % local] += 1
    faults = tensor_faults(order, torch.tensor(wanted, dtype=torch.int64), "order")
    return faults | tensor_faults(counts, table, "counts") | unchanged([experts], [before])


def at_dispatch(answer, tokens, num_experts, top_k):
    """Every token of every process by a loop over its choices, with all experts at hand."""
    every = nn.ModuleList(SwiGLU(WIDTH, 3) for _ in range(num_experts)).double()
    given = [_tokens(count, num_experts, top_k) for count in tokens]
    found = together(answer, len(tokens), in_process, every, given)
    faults: set[str] = set()
    for (x, gates, experts, weight), made in zip(given, found, strict=True):
        x, gates = x.clone().requires_grad_(), gates.clone().requires_grad_()
        rows = [
            sum(g * every[i](row) for g, i in zip(gate, chosen.tolist(), strict=True))
            for row, gate, chosen in zip(x, gates, experts, strict=True)
        ]
        if made["changed"]:
            faults |= {"input changed"}
        if set(made["calls"]) != {1}:
            faults |= {"an expert not called once"}
        if rows:
            y = torch.stack(rows)
            (y * weight).sum().backward()
            faults |= tensor_faults(made["y"], y.detach(), "y")
            faults |= tensor_faults(made["x"], x.grad, "gradient of x")
            faults |= tensor_faults(made["gates"], gates.grad, "gradient of gates")
    return faults | _expert_faults(every, found)


def _tokens(count, num_experts, top_k):
    experts = torch.rand(count, num_experts).topk(top_k).indices
    return x_(count, WIDTH), x_(count, top_k), experts, x_(count, WIDTH)


def _expert_faults(every, found):
    """By now the loop has left the gradient of all tokens in every expert that was chosen."""
    came = [weights for made in found for weights in made["experts"]]
    faults = set()
    for expert, weights in zip(every, came, strict=True):
        for parameter, grad in zip(expert.parameters(), weights, strict=True):
            zero = torch.zeros_like(parameter)
            wanted = zero if parameter.grad is None else parameter.grad
            faults |= tensor_faults(zero if grad is None else grad, wanted, "gradient of experts")
    return faults


class Counted:
    """Experts that count how often each is called."""

    def __init__(self, experts):
        self.experts, self.calls = experts, [0] * len(experts)

    def __len__(self):
        return len(self.experts)

    def __getitem__(self, i):
        def call(x):
            self.calls[i] += 1
            return self.experts[i](x)

        return call


def in_process(answer, rank, group, every, given):
    local = len(every) // dist.get_world_size(group)
    mine = every[rank * local : (rank + 1) * local]
    counted = Counted(mine)
    x, gates, experts, weight = given[rank]
    x, gates = x.clone().requires_grad_(), gates.clone().requires_grad_()
    y = answer(x, gates, experts, counted, group)
    changed = not torch.equal(x, given[rank][0])
    (y * weight).sum().backward()
    none = torch.zeros_like
    return {
        "y": y.detach(),
        "x": none(x) if x.grad is None else x.grad,
        "gates": none(gates) if gates.grad is None else gates.grad,
        "experts": [[w.grad for w in expert.parameters()] for expert in mine],
        "changed": changed,
        "calls": counted.calls,
    }


def at_rebalance(answer, tokens, num_segments):
    """Choices of all processes counted one at a time, and a step for each expert."""
    layer = DeepSeekMoE(2 * num_segments, 4, 2, 2, 1, num_segments=num_segments)
    layer.router.bias.copy_(torch.randn(4))
    bias, step = layer.router.bias.clone(), 0.05
    choices = [torch.rand(count * num_segments, 4).topk(2).indices for count in tokens]
    real = [torch.arange(count)[None] % 3 != 1 for count in tokens]
    load = torch.zeros(4, dtype=torch.int64)
    for rows, marks in zip(choices, real, strict=True):
        for row, chosen in enumerate(rows.tolist()):
            for expert in chosen if marks[0, row // num_segments] else []:
                load[expert] += 1
    mean = float(load.sum()) / 4
    wanted = bias + step * torch.tensor([(mean > n) - (mean < n) for n in load.tolist()])
    faults = set()
    for made in together(answer, len(tokens), moved, layer, choices, real, step):
        faults |= tensor_faults(made["load"], load, "load")
        faults |= tensor_faults(made["bias"], wanted, "bias")
        faults |= set() if made["same"] else {"another buffer"}
    return faults


def moved(answer, rank, group, layer, choices, real, step):
    layer.last_experts, buffer = choices[rank], layer.router.bias
    load = answer(layer, real[rank], step, group)
    bias = layer.router.bias
    return {"load": load, "bias": bias.detach().clone(), "same": bias is buffer}


LOOKS = {
    "D4.I3a": (
        at_rows,
        [(5, 6, 3, 2), (9, 4, 2, 3), (1, 8, 4, 2), (4, 5, 1, 2), (0, 4, 2, 2), (80, 6, 2, 3)],
    ),
    "D4.I3b": (at_dispatch, [((6,), 5, 2), ((4, 7), 4, 2), ((3, 0, 5, 2), 8, 3), ((5, 0), 6, 2)]),
    "D4.I3c": (at_rebalance, [((7,), 1), ((9, 4), 1), ((5, 8, 0, 4), 2), ((6, 11), 2)]),
}
PUBLIC = {
    "D4.I3a": reference.rows_to_send,
    "D4.I3b": reference.expert_parallel_dispatch,
    "D4.I3c": reference.rebalance_together,
}
