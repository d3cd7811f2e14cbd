"""Stages that many checks share."""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from checks.grading import expect

Used = tuple[Callable[[], object], Callable[[], Mapping[str, Tensor]]]


def untouched(
    use: Callable[[Any, Any], Used], *, repeats: bool = True
) -> Callable[[Any, Any], None]:
    """A stage in which a call must leave every tensor as it was, and return the same once more.

    `use(answer, case)` returns the call, and what `expect.untouched` takes. Calls whose nature it
    is to differ, as a draw does, have `repeats=False`.
    """

    def stage(answer: Callable, case: object) -> None:
        call, tensors = use(answer, case)
        with expect.untouched(tensors):
            first = _copied(call())
        if repeats:
            with expect.untouched(tensors):
                _expect_same(first, _copied(call()))

    return stage


def _copied(returned: object) -> list[Tensor]:
    """The tensors that a call returned, alone or side by side."""
    parts = returned if isinstance(returned, tuple | list) else [returned]
    return [part.detach().clone() for part in parts if isinstance(part, Tensor)]


def _expect_same(first: list[Tensor], second: list[Tensor]) -> None:
    expect.require(
        all(_alike(a, b) for a, b in zip(first, second, strict=False)),
        "a second call with the same inputs must return the same, and it returns something else",
        "Is something kept from one call to the next, in the object or outside the function, or "
        "drawn at random?",
    )


def _alike(first: Tensor, second: Tensor) -> bool:
    """NaN is like NaN: what is not finite is asked about by another stage."""
    if first.shape != second.shape:
        return False
    return expect.near(first.nan_to_num(), second.nan_to_num())


def state(module: nn.Module) -> dict[str, Tensor]:
    """The module's parameters and its routers' biases; masks and tables may grow with a call."""
    biases = {name: v for name, v in module.named_buffers() if name.split(".")[-1] == "bias"}
    return dict(module.named_parameters()) | biases
