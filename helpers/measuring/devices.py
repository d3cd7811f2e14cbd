"""What an uneven load costs: experts on simulated devices, and a step as long as its busiest one.

Expert i lies on device `i // (E / devices)`, so that neighbours share a device, as the experts of
one group do. Letters: T tokens, K = top_k, E experts, N devices.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Speed:
    """What one device does per second: multiplications and additions, and bytes over its link."""

    flops: float
    link: float


# NVIDIA's peak for bfloat16, and the InfiniBand link of arXiv 2412.19437, section 3.2.2.
H800 = Speed(flops=989e12, link=50e9)


def device_load(load: Int[Tensor, " E"], devices: int) -> Int[Tensor, " N"]:
    """The rows that each device computes: the sum over its block of experts."""
    _validate_devices(len(load), devices)
    return load.view(devices, -1).sum(dim=1)


def slowdown(load: Int[Tensor, " E"], devices: int) -> float:
    """How long a step takes over one of even load: the busiest device's rows over the mean.

    1.0 is even, and `devices` the most. Raises a ValueError for no load at all.
    """
    rows = device_load(load, devices).double()
    if rows.sum() == 0:
        raise ValueError("load must hold at least one row, got none")
    return float(rows.max() / rows.mean())


def visits(
    experts: Int[Tensor, "T K"], num_experts: int, devices: int
) -> Bool[Tensor, "T {devices}"]:
    """Which devices each token travels to: those that hold at least one of its experts."""
    _validate_devices(num_experts, devices)
    place = experts // (num_experts // devices)  # (T, K)
    there = torch.zeros(len(experts), devices, dtype=torch.bool, device=experts.device)
    return there.scatter_(1, place, True)


def step_seconds(
    experts: Int[Tensor, "T K"],
    num_experts: int,
    devices: int,
    d_model: int,
    expert_dim: int,
    speed: Speed = H800,
    bytes_per_number: int = 2,
) -> Float[Tensor, "2 {devices}"]:
    """Seconds that each device computes, and that its link is busy, in one forward pass.

    A row costs a SwiGLU expert 6 · D · F operations. A token is sent once to each device that it
    visits, however many of its experts lie there, and its sum comes back: 2 · D numbers. The
    layer lasts as long as the device with the largest sum of both.
    """
    load = torch.bincount(experts.flatten(), minlength=num_experts)
    computing = device_load(load, devices) * (6 * d_model * expert_dim / speed.flops)
    arriving = visits(experts, num_experts, devices).sum(dim=0)
    travelling = arriving * (2 * d_model * bytes_per_number / speed.link)
    return torch.stack([computing, travelling]).double()


def dead_experts(load: Int[Tensor, " E"], below: float = 0.1) -> int:
    """How many experts get less than `below` of the even share."""
    return int((load < below * load.double().mean()).sum())


def _validate_devices(num_experts: int, devices: int) -> None:
    if devices < 1 or num_experts % devices:
        raise ValueError(f"devices must divide the {num_experts} experts, got {devices}")
