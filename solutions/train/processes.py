"""The processes of a training, in a grid: copies of the data's way by shares of the experts."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed as dist
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh


@dataclass(frozen=True)
class Processes:
    """n processes: each group of `expert_parallel` holds all experts once, split among them.

    Every process trains on tokens of its own. `every` is the mesh of all of them, `copies` that of
    the processes that hold the same experts as this one, `experts` that of a whole set of experts.
    """

    device: torch.device
    every: DeviceMesh
    copies: DeviceMesh
    experts: DeviceMesh

    @property
    def rank(self) -> int:
        return dist.get_rank()

    @property
    def count(self) -> int:
        return dist.get_world_size()

    @property
    def group(self) -> ProcessGroup:
        return self.every.get_group()


@contextmanager
def processes(expert_parallel: int, device: torch.device) -> Iterator[Processes]:
    """The processes that torchrun started, or this one alone; afterwards their group is gone.

    Raises a ValueError unless `expert_parallel` divides their number.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count % expert_parallel:
        raise ValueError(
            f"the experts' processes must divide all {count} of them, got {expert_parallel}"
        )
    _join(device)
    try:
        kind = device.type
        grid = init_device_mesh(
            kind, (count // expert_parallel, expert_parallel), mesh_dim_names=("copies", "experts")
        )
        every = init_device_mesh(kind, (count,), mesh_dim_names=("every",))
        yield Processes(device, every, grid["copies"], grid["experts"])
    finally:
        dist.destroy_process_group()


def _join(device: torch.device) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)
