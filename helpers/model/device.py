"""Where a model's weights lie: what goes into it has to lie there too."""

import torch
from torch import nn


def device_of(model: nn.Module) -> torch.device:
    """The device of the model's first weight; the CPU for a model without any."""
    weight = next(model.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
