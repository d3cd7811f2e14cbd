"""The sizes and options of a DeepSeek, and which of them its parts take."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from helpers.model.attention_sizes import validate_sizes
from helpers.model.published import V2_LITE, V3, LatentAttention, PublishedModel
from helpers.model.yarn import Yarn


@dataclass(frozen=True, kw_only=True)
class DeepSeekConfig:
    """A DeepSeek in numbers; its first `dense_layers` layers have a SwiGLU instead of experts."""

    vocab_size: int
    num_layers: int
    d_model: int
    num_heads: int
    d_head: int
    d_latent: int
    d_rope: int
    num_experts: int
    top_k: int
    expert_dim: int
    num_shared: int
    dense_layers: int = 0
    dense_dim: int = 0
    q_latent: int | None = None
    d_value: int | None = None  # None: as wide as d_head
    num_segments: int = 1
    affinity: str = "sigmoid"
    renormalise: bool = True
    scale: float = 1.0
    num_groups: int = 1
    top_groups: int = 1
    groups_by_best: bool = False  # V2's groups: by their best expert, not by their best two
    theta: float = 10_000.0
    yarn: Yarn | None = None
    angles: Tensor | None = field(default=None, repr=False, compare=False)  # those of `stretched`
    norm_eps: float = 1e-6

    def __post_init__(self):
        validate_sizes(self.d_rope, vocab_size=self.vocab_size, num_layers=self.num_layers)
        if not 0 <= self.dense_layers <= self.num_layers:
            raise ValueError(
                f"dense_layers must be between 0 and num_layers={self.num_layers}, "
                f"got {self.dense_layers}"
            )

    @classmethod
    def v3(cls) -> "DeepSeekConfig":
        """DeepSeek-V3, with scale and groups from its config_671B.json; without YaRN."""
        return cls(**_sizes(V3), scale=2.5, num_groups=8, top_groups=4)

    @classmethod
    def v2_lite(cls) -> "DeepSeekConfig":
        """DeepSeek-V2-Lite, whose router is a softmax that is not renormalised; without YaRN."""
        return cls(**_sizes(V2_LITE), affinity="softmax", renormalise=False)

    def stretched(self, frequencies: Callable[..., Tensor]) -> "DeepSeekConfig":
        """The same with YaRN's angles, where there is YaRN and they are not there yet.

        `frequencies` is the lesson's yarn_frequencies.
        """
        if self.yarn is None or self.angles is not None:
            return self
        return replace(self, angles=self.yarn.angles(frequencies, self.d_rope, self.theta))

    def attention(self) -> dict[str, Any]:
        """The arguments of `MultiHeadLatentAttention`; with YaRN those of a `stretched` one."""
        names = "d_model num_heads d_head d_latent d_rope q_latent d_value theta"
        if self.yarn is None:
            return self._chosen(names)
        if self.angles is None:
            raise ValueError("YaRN's angles are missing: take config.stretched(yarn_frequencies)")
        return self._chosen(f"{names} angles") | {"scale": self.yarn.scale}

    def experts(self) -> dict[str, Any]:
        """The arguments of `DeepSeekMoE`."""
        sizes = "d_model num_experts top_k expert_dim num_shared num_segments"
        router = "affinity renormalise scale num_groups top_groups"
        return self._chosen(f"{sizes} {router}")

    def v2_router(self) -> dict[str, Any]:
        """The arguments of a `V2Router`."""
        return self._chosen("d_model num_experts top_k num_groups top_groups scale")

    def _chosen(self, names: str) -> dict[str, Any]:
        return {name: getattr(self, name) for name in names.split()}


def _sizes(model: PublishedModel) -> dict[str, Any]:
    attention, experts = model.attention, model.experts
    if not isinstance(attention, LatentAttention) or experts is None:
        raise ValueError(f"{model.name} must have latent attention and experts")
    return {
        "vocab_size": model.vocab_size,
        "num_layers": model.layers,
        "d_model": model.d_model,
        "num_heads": attention.heads,
        "d_head": attention.d_head,
        "d_latent": attention.d_latent,
        "d_rope": attention.d_rope,
        "q_latent": attention.q_latent,
        "d_value": attention.d_value,
        "num_experts": experts.routed,
        "top_k": experts.top_k,
        "expert_dim": experts.expert_dim,
        "num_shared": experts.shared,
        "dense_layers": model.dense_layers,
        "dense_dim": model.dense_dim,
    }
