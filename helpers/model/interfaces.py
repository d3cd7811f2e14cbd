"""What a part of one exercise asks of a part of another, whoever wrote its class."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ExpertList(Protocol):
    """Experts by their number: `len(experts)` of them, `experts[i](x)`: `(n, D)` → `(n, D)`."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> Callable[[Tensor], Tensor]: ...


@runtime_checkable
class CachingModel(Protocol):
    """A language model: `model(ids, caches=None)` returns logits; `new_caches` makes the caches."""

    def __call__(self, *ids_and_caches: Any) -> Tensor: ...

    def new_caches(self, batch: int, capacity: int) -> Any: ...
