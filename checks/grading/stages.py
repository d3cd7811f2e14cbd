"""Stages that many checks share."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from checks.grading import expect

Used = tuple[Callable[[], object], Callable[[], Mapping[str, Tensor]]]


def untouched(use: Callable[[Any, Any], Used]) -> Callable[[Any, Any], None]:
    """A stage in which a call must leave every tensor as it was.

    `use(answer, case)` returns the call, and what `expect.untouched` takes.
    """

    def stage(answer: Callable, case: object) -> None:
        call, tensors = use(answer, case)
        with expect.untouched(tensors):
            call()

    return stage


def state(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters and its routers' biases; masks and tables may grow with a call."""
    biases = {name: v for name, v in module.named_buffers() if name.split(".")[-1] == "bias"}
    return dict(module.named_parameters()) | biases
