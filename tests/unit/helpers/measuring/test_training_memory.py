"""Gradients are as large as the weights, Adam's moments twice; the model is left as it was."""

import torch

from helpers.measuring.memory import activation_bytes, weight_bytes
from helpers.measuring.training_memory import training_bytes
from helpers.model.llama import Decoder, SwiGLU
from solutions.d1_moe import MoELayer

IDS = torch.arange(60).view(4, 15) % 50


def model_with(make_ffn):
    torch.manual_seed(0)
    return Decoder(50, 16, 1, 2, make_ffn)


def test_a_dense_step_holds_four_times_its_weights_and_what_it_keeps():
    model = model_with(lambda: SwiGLU(16, 32))
    found, weights = training_bytes(model, IDS), weight_bytes(model)
    assert list(found.values()) == [weights, weights, 2 * weights, activation_bytes(model, IDS)]


def test_the_model_is_not_trained():
    model = model_with(lambda: SwiGLU(16, 32))
    before = model.head.weight.clone()
    training_bytes(model, IDS)
    assert torch.equal(model.head.weight, before)
    assert all(p.grad is None for p in model.parameters())


def test_an_expert_without_tokens_has_no_gradient_yet():
    model = model_with(lambda: MoELayer(16, 8, 1, 32))
    few = training_bytes(model, IDS[:1, :3])
    expert = sum(p.nbytes for p in model.blocks[0].ffn.experts[0].parameters())
    assert few["gradients"] <= few["weights"] - 6 * expert
    assert few["Adam's two moments"] == 2 * few["gradients"]
