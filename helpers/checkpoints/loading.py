"""A DeepSeek of anybody's class with the weights of a released one, or of one of transformers'."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from helpers.checkpoints.hf_model import read_model
from helpers.measuring.traffic import layers_of
from helpers.model.deepseek_config import DeepSeekConfig
from helpers.model.v2_router import V2Router


def loaded(
    make: Callable[[DeepSeekConfig], Any],
    source: Any,
    frequencies: Callable[..., Tensor],
) -> Any:
    """`make(config)` with the weights of `source`, which stay mapped from a folder's files.

    `frequencies` is the lesson's yarn_frequencies. Raises a ValueError with one sentence for what
    the model does not compute, for a tensor that is missing, left over, or of another shape, and
    for a part without the arguments that YaRN needs.
    """
    fields, weights = read_model(source)
    config = DeepSeekConfig(**fields).stretched(frequencies)
    model = _on_meta(make, config)
    use_v2_routers(model, config)  # which a model from an older notebook does not do itself
    try:
        model.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise ValueError(f"the weights do not fit the parts of this model: {reason}") from None
    return model


def _on_meta(make: Callable[[DeepSeekConfig], Any], config: DeepSeekConfig) -> Any:
    """The model without memory for its weights."""
    try:
        with torch.device("meta"):
            return make(config)
    except TypeError as error:
        if config.yarn is None or not any(name in str(error) for name in ("angles", "scale")):
            raise
        part = str(error).partition(".")[0]
        raise ValueError(
            f"{part} must take angles and scale, as the lesson's stub now has them: this "
            f"checkpoint has YaRN, which sets both ({error})"
        ) from None


def use_v2_routers(model: Any, config: DeepSeekConfig) -> None:
    """Put V2's choice into every layer of experts, where the configuration asks for it."""
    if config.groups_by_best:
        for layer in layers_of(model):
            layer.router = V2Router(**config.v2_router()).to(layer.router.gate.weight.device)
