"""Four ways to dispatch tokens to experts, side by side: `python -m benchmarks dispatch`.

Medians of seven turns, measured in turn; the last column is a way's time over the expert loop's.
"""

from functools import partial

import torch
from torch import Tensor

from helpers.measuring.timing import median_milliseconds
from helpers.model.interfaces import ExpertList
from solutions.d1_moe import ExpertArray, TopKRouter, dispatch_combine, sorted_dispatch

D_MODEL, EXPERT_DIM, TOP_K = 256, 128, 2
SIZES = ((256, 8), (1024, 8), (1024, 64), (4096, 64))


def token_loop(x: Tensor, gates: Tensor, experts: Tensor, array: ExpertList) -> Tensor:
    """The specification: one token and one choice at a time."""
    rows = torch.zeros_like(x)
    for t in range(len(x)):
        for gate, i in zip(gates[t], experts[t].tolist(), strict=True):
            rows[t] += gate * array[i](x[t : t + 1])[0]
    return rows


def every_expert(x: Tensor, gates: Tensor, experts: Tensor, array: ExpertList) -> Tensor:
    """All experts on all tokens, with gates of zero for those not chosen."""
    weights = torch.zeros(len(x), len(array)).scatter_add(1, experts, gates)
    rows = torch.zeros_like(x)
    for i in range(len(array)):
        rows += weights[:, i, None] * array[i](x)
    return rows


WAYS = {
    "token loop": token_loop,
    "all experts, dense": every_expert,
    "expert loop": dispatch_combine,
    "sorted dispatch": sorted_dispatch,
}


def measured(tokens: int, num_experts: int) -> dict[str, float]:
    """The median milliseconds of each way on the same routing."""
    torch.manual_seed(0)
    x, array = torch.randn(tokens, D_MODEL), ExpertArray(D_MODEL, EXPERT_DIM, num_experts)
    gates, experts = TopKRouter(D_MODEL, num_experts, TOP_K)(x)
    calls = {name: partial(way, x, gates, experts, array) for name, way in WAYS.items()}
    return median_milliseconds(calls)


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)  # as in the lessons: a second thread only waits at this size
    print("| tokens | experts | way | ms | of the expert loop |\n|---|---|---|---|---|")
    for size in SIZES:
        times = measured(*size)
        for name, taken in times.items():
            ratio = taken / times["expert loop"]
            print(f"| {size[0]} | {size[1]} | {name} | {taken:.1f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
