"""What answers to D4.2b count_parameters are built from."""

import torch

from solutions.d4_deepseek import DeepSeek


def on_meta(config, made=DeepSeek):
    """The model that the exercise gives."""
    with torch.device("meta"):
        return made(config)


def size(module):
    """The parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def used_experts(config):
    """The most experts of a layer that a token uses."""
    return min(config.top_k * config.num_segments, config.num_experts)


def idle_in(layer, config):
    """The parameters that a token leaves alone in a layer of experts."""
    return size(layer.experts[0]) * (config.num_experts - used_experts(config))
