"""The reference on a device that is not the CPU and has no float64, as MPS: by a stand-in."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.speculative import speculate
from helpers.model.yarn import Yarn
from solutions import d1_moe
from solutions.d2_deepseek_moe import control_bias
from solutions.d4_deepseek import DeepSeek, MultiTokenPrediction, generate, train

FACTORIES = [
    "arange",
    "empty",
    "eye",
    "full",
    "linspace",
    "ones",
    "rand",
    "randint",
    "randn",
    "randperm",
    "tensor",
    "zeros",
    "as_tensor",
]
SIZES = {
    "vocab_size": 23,
    "num_layers": 2,
    "d_model": 16,
    "num_heads": 2,
    "d_head": 8,
    "d_latent": 8,
    "d_rope": 4,
    "num_experts": 4,
    "top_k": 2,
    "expert_dim": 8,
    "num_shared": 1,
}


class StandIn(TorchFunctionMode, AbstractContextManager):
    """Every tensor lies on a device without float64, but those asked for with device="cpu".

    Raises where a tensor is made without saying where, where float64 would come to the device, and
    where tensors of both places meet other than by indexing with host numbers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.host: dict[int, Tensor] = {}  # kept alive, so that no id is used twice

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in FACTORIES and "device" not in kwargs:
            raise AssertionError(f"torch.{name} is called without a device")
        got = func(*args, **kwargs)
        if not isinstance(got, Tensor):
            return got
        inputs = [a for a in args if isinstance(a, Tensor)]
        is_host = str(kwargs.get("device")) == "cpu" and name in FACTORIES
        if name == "cpu":
            got, is_host = got.clone(), True
        elif name == "to" and any(isinstance(a, torch.device) for a in args):
            got = got.clone()
        elif inputs:
            on_host = [id(a) in self.host for a in inputs if a.ndim]
            assert len(set(on_host)) < 2, f"{name} mixes tensors of the device and of the host"
            is_host = all(id(a) in self.host for a in inputs)
        if is_host:
            self.host[id(got)] = got
        assert is_host or got.dtype != torch.float64, f"{name} makes float64 on the device"
        return got


def test_the_stand_in_notices_float64_and_a_tensor_without_a_device() -> None:
    x = torch.ones(3)
    with StandIn():
        with pytest.raises(AssertionError, match="float64 on the device"):
            x.double()
        with pytest.raises(AssertionError, match="arange is called without a device"):
            torch.arange(3)
        with pytest.raises(AssertionError, match="mixes tensors"):
            x + torch.ones(3, device="cpu")
        x.cpu().double() + torch.ones(3, dtype=torch.float64, device="cpu")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dense_layers": 1, "dense_dim": 24, "q_latent": 12, "num_groups": 2, "top_groups": 1},
        {"num_segments": 2, "affinity": "softmax", "renormalise": False},
        {"yarn": Yarn(factor=40.0, mscale_all_dim=1.0)},
        {"affinity": "softmax", "renormalise": False, "num_groups": 2, "groups_by_best": True},
    ],
)
def test_training_and_writing_stay_on_the_device(options: dict) -> None:
    torch.manual_seed(0)
    config = DeepSeekConfig(**SIZES | options)
    model = DeepSeek(config)
    prediction = MultiTokenPrediction(model.config)
    optimizer = torch.optim.AdamW(model.parameters())
    ids, real = torch.randint(23, (2, 9)), torch.ones(2, 9, dtype=torch.bool)
    long = torch.randint(23, (1, 300))
    with StandIn():
        losses = train(model, [(ids, real)] * 2, optimizer, lambda: 0.01)
        written = generate(model, ids, 5, temperature=0.7)
        drafted = speculate(model, prediction, long, 5)  # behind 100 positions: absorbed
    assert len(losses) == 2 and written.shape == (2, 14) and drafted.ids.shape == (1, 305)


def test_the_other_parts_stay_on_the_device() -> None:
    torch.manual_seed(0)
    layer, x = d1_moe.MoELayer(16, 4, 2, 8), torch.randn(2, 5, 16)
    affinity = torch.rand(3, 20, 4)
    with StandIn():
        layer(x)
        load = d1_moe.expert_load(layer.last_experts, 4)
        d1_moe.load_cv(load), d1_moe.max_violation(load)
        d1_moe.dropped_share(layer.last_experts, 4, 1.25)
        gates, experts = layer.router(x[0])
        d1_moe.sorted_dispatch(x[0], gates, experts, layer.experts)
        control_bias(affinity, 2, 0.1)
