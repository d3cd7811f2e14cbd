"""The check of D4.I1: V3's layer that predicts the token after next."""

import inspect
import random

import torch
from torch import Tensor

from checks.d1_moe.cases import TOKENS
from checks.d3_mla.cases import POSITIONS
from checks.d4_deepseek.block import check_deepseek_block, compared_config
from checks.d4_deepseek.cases import (
    V2_OPTIONS,
    V3_OPTIONS,
    Deep,
    decide_all_choices,
    draw_case,
    randomised,
)
from checks.d4_deepseek.mtp_slips import (
    slips_of_epsilon,
    slips_of_prediction,
    true_prediction,
)
from checks.d4_deepseek.parts import (
    called_once,
    calls_counted,
    expect_grown,
    kept_ffn,
    kept_parts,
    silence,
    weight_of,
    weights_of,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import new_module
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference

_NUMBER = "Which number does this block get? It stands behind the last layer of the model."
PARTS = ("embed_norm", "hidden_norm", "join", "block", "norm")


def _predictions(rng: random.Random) -> list[Deep]:
    """Six cases: V3's router, float32, all the model's layers dense, segments, one token, a batch
    of one.
    """
    return [
        draw_case(rng, num_layers=2, dense_layers=1, **V3_OPTIONS),
        draw_case(rng, dtype=torch.float32, contiguous=False),
        draw_case(rng, num_layers=1, dense_layers=1, contiguous=False, norm_eps=0.1),
        draw_case(rng, num_segments=2, training=False, **V2_OPTIONS),
        draw_case(rng, batch=1, length=1),
        draw_case(rng, batch=1, theta=500.0),
    ]


def made(answer: type, case: Deep) -> Built:
    """A layer of the case, every weight and bias drawn anew."""
    return randomised(new_module(answer, "MultiTokenPrediction", case.config), case)


def _kept_layer(layer: Built, config: DeepSeekConfig) -> None:
    """Raise Wrong unless the layer has the lesson's parts, in the configured sizes."""
    kept_parts(layer, "MultiTokenPrediction", PARTS)
    for name in ("embed_norm", "hidden_norm", "norm"):
        weight_of(getattr(layer, name), f"layer.{name}", config.d_model)
    weight_of(layer.join, "layer.join", config.d_model, 2 * config.d_model)
    kept_ffn(layer.block, config, config.num_layers, "layer.block.ffn", _NUMBER)


def _inputs(case: Deep) -> tuple[Tensor, Tensor]:
    """Hidden states and next embeddings, `(B, L, D)` each, of different size."""
    return 2 * case.x(1), case.x(2)


def _output(layer: Built, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """What the layer returns for copies of hidden and next_embedding, of the right kind."""
    hidden, embedding = (value.clone() for value in inputs)
    got = layer(hidden, embedding)
    wide = isinstance(got, Tensor) and got.ndim == 3 and got.shape[-1] == 2 * hidden.shape[-1]
    ask = "Does `join` bring both, side by side, back to d_model?" if wide else ""
    return expect.tensor(got, "the output", hidden.shape, hidden.dtype, ask, TOKENS).detach()


def _mtp_shapes(answer: type, case: Deep) -> None:
    layer, inputs = new_module(answer, "MultiTokenPrediction", case.config), _inputs(case)
    _kept_layer(layer, case.config)
    randomised(layer, case)
    _output(layer, inputs)
    _output(layer, (inputs[0][:1, :1], inputs[1][:1, :1]))


def _mtp_joined(answer: type, case: Deep) -> None:
    """With a block that returns its input."""
    layer, inputs = made(answer, case), _inputs(case)
    silence(layer.block.attention)
    silence(layer.block.ffn)
    true = true_prediction(layer, case)
    when = "with a block that returns its input"
    slips = slips_of_prediction(true, *inputs) | slips_of_epsilon(layer, true, *inputs)
    expect.close(
        _output(layer, inputs), true(*inputs), "the output", axes=POSITIONS, when=when, slips=slips
    )


def _mtp_values(answer: type, case: Deep) -> None:
    layer, inputs = made(answer, case), _inputs(case)
    true = true_prediction(layer, case)
    want, slips = (
        true(*inputs),
        slips_of_prediction(true, *inputs) | slips_of_epsilon(layer, true, *inputs),
    )
    _expect_causal(layer, inputs, case)
    parts = {f"layer.{name}": getattr(layer, name) for name in PARTS}
    for training in (False, True):
        layer.train(training)
        with calls_counted(parts) as counts:
            got = _output(layer, inputs)
        expect.close(got, want, "the output", axes=POSITIONS, slips=slips)
        called_once(counts)


def _mtp_cached(answer: type, case: Deep) -> None:
    """Where the layer takes a cache, as it does in newer notebooks: all at once, and in pieces."""
    layer, (hidden, embedding) = made(answer, case), _inputs(case)
    if "cache" not in inspect.signature(layer.forward).parameters:
        return
    want = true_prediction(layer, case)(hidden, embedding)
    for way, lengths in case.ways().items():
        cache, got = case.cache(2 * case.length), []
        for h, e in zip(hidden.split(lengths, 1), embedding.split(lengths, 1), strict=True):
            before = len(cache)
            got.append(layer(h.clone(), e.clone(), cache).detach())
            ask = "Is it handed to self.block at every call, also when it holds something?"
            expect_grown(cache, "the cache", before, h.shape[1], ask)
        if case.dtype == torch.float64:
            when = f"given {way} with a cache"
            expect.close(torch.cat(got, dim=1), want, "the output", axes=POSITIONS, when=when)


def _expect_causal(layer: Built, inputs: tuple[Tensor, Tensor], case: Deep) -> None:
    """The last position drawn anew changes no output before it."""
    y, last = _output(layer, inputs), case.length - 1
    for i, name in enumerate(("hidden", "next_embedding")):
        moved = inputs[0].clone(), inputs[1].clone()
        moved[i][:, last] = -moved[i][:, last].roll(1, dims=-1)
        same = (_output(layer, moved) - y).abs().amax(-1) < 1e-4
        expect.require(
            same[:, :last].all(),
            f"the output of a position must not depend on {name} at position {last}, and it does",
            "Are both joined position by position?",
        )


def _mtp_use(answer: type, case: Deep) -> Used:
    layer, (hidden, embedding) = made(answer, case), _inputs(case)
    inputs = {"hidden": hidden, "next_embedding": embedding}
    return lambda: layer(hidden, embedding), lambda: {**inputs, **state(layer)}


def _mtp_gradients(answer: type, case: Deep) -> None:
    """With biases that alone decide, a small step changes no choice."""
    if case.length == 1 or case.dtype != torch.float64:
        return
    layer = made(answer, case)
    decide_all_choices(layer, case)
    hidden, embedding = (value[:2, :3].clone().requires_grad_() for value in _inputs(case))
    direction = torch.randn(hidden.shape, generator=case.generator(3), dtype=case.dtype)
    groups = {"hidden": [hidden], "next_embedding": [embedding], **weights_of(layer.block, "block")}
    for name in ("embed_norm", "hidden_norm", "join", "norm"):
        groups[f"the weights of layer.{name}"] = [getattr(layer, name).weight]
    expect.gradient(
        lambda: (layer(hidden, embedding) * direction).sum(), groups, case.generator(4), expect.FINE
    )


check_mtp = Check(
    id="D4.I1",
    name="MultiTokenPrediction",
    reference_answer=reference.MultiTokenPrediction,
    draw=_predictions,
    stages={
        "parts, shapes and types": _mtp_shapes,
        "inputs, weights and biases untouched": untouched(_mtp_use),
        "both normed and joined, embedding first": _mtp_joined,
        "through the block, and no later position seen": _mtp_values,
        "with a cache: all at once, one by one and in chunks": _mtp_cached,
        "gradients reach both inputs and every part": _mtp_gradients,
    },
    hints=(
        "Two vectors of width D become one. Which of them has which norm, and which comes first?",
        "Look at the input of self.join: (B, L, 2·D), the embedding's half first.",
        "Put self.embed_norm of next_embedding and self.hidden_norm of hidden side by side along "
        "the last dimension; self.join, self.block with the cache, self.norm.",
    ),
    compared=Comparison(
        inputs=lambda: tuple(torch.randn(2, 4, 64, 64)),
        build=lambda answer: answer(compared_config()),
        run=lambda layer, inputs: layer(*inputs),
    ),
    needs=(check_deepseek_block,),
)
