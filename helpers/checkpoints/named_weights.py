"""Weights by name, which remember who was asked for."""

from collections.abc import Mapping

from torch import Tensor


class NamedWeights:
    """Weights by name, with a view of those under a prefix; a missing one raises a ValueError."""

    def __init__(
        self, weights: Mapping[str, Tensor], prefix: str = "", read: set[str] | None = None
    ):
        self.weights, self.prefix = weights, prefix
        self.read = set() if read is None else read  # whole names, of all views together

    def under(self, prefix: str) -> "NamedWeights":
        inside = {
            k.removeprefix(prefix): v for k, v in self.weights.items() if k.startswith(prefix)
        }
        return NamedWeights(inside, self.prefix + prefix, self.read)

    def __contains__(self, name: str) -> bool:
        return name in self.weights

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.weights:
            raise ValueError(f"the weights must hold {self.prefix}{name}, and they do not")
        self.read.add(self.prefix + name)
        return self.weights[name]

    def unread(self) -> list[str]:
        """The names that nobody has asked for, of a view of all."""
        return [name for name in self.weights if name not in self.read]
