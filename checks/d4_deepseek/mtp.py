"""The check of D4.I1: V3's layer that predicts the token after next."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

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
from checks.d4_deepseek.parts import (
    Part,
    called_once,
    calls_counted,
    kept_ffn,
    kept_parts,
    silence,
    true_norm,
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
    kept_ffn(layer.block, config, config.num_layers, "layer.block.ffn")


def _inputs(case: Deep) -> tuple[Tensor, Tensor]:
    """Hidden states and next embeddings, `(B, L, D)` each, of different size."""
    return 2 * case.x(1), case.x(2)


def _output(layer: Built, inputs: tuple[Tensor, Tensor]) -> Tensor:
    """What the layer returns for copies of hidden and next_embedding, of the right kind."""
    hidden, embedding = (value.clone() for value in inputs)
    got = layer(hidden, embedding)
    wide = isinstance(got, Tensor) and got.ndim == 3 and got.shape[-1] == 2 * hidden.shape[-1]
    ask = "Does `join` bring both, side by side, back to d_model?" if wide else ""
    return expect.tensor(got, "the output", hidden.shape, hidden.dtype, ask).detach()


def _mtp_shapes(answer: type, case: Deep) -> None:
    layer, inputs = new_module(answer, "MultiTokenPrediction", case.config), _inputs(case)
    _kept_layer(layer, case.config)
    randomised(layer, case)
    _output(layer, inputs)
    _output(layer, (inputs[0][:1, :1], inputs[1][:1, :1]))


@dataclass(frozen=True)
class _Prediction:
    """What the layer is made of; a field replaced is a slip."""

    embed_norm: Part
    hidden_norm: Part
    join: Part
    block: Part
    norm: Part

    def joined(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        return self.join(torch.cat([self.embed_norm(embedding), self.hidden_norm(hidden)], dim=-1))

    def __call__(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        return self.norm(self.block(self.joined(hidden, embedding)))


def _true(layer: Built, case: Deep) -> _Prediction:
    names = ("embed_norm", "hidden_norm", "norm")
    norms = {name: true_norm(getattr(layer, name), case.config) for name in names}
    return _Prediction(join=layer.join, block=layer.block, **norms)


def _slips_of_epsilon(
    layer: Built, true: _Prediction, *inputs: Tensor
) -> dict[str, Callable[[], Tensor]]:
    """What comes of the norms as the layer made them, where those have another epsilon."""
    norms = {name: getattr(layer, name) for name in ("embed_norm", "hidden_norm", "norm")}
    return {
        "Are all three norms made with config.norm_eps?": lambda: replace(true, **norms)(*inputs)
    }


def _plain(x: Tensor) -> Tensor:
    return x


def _mtp_joined(answer: type, case: Deep) -> None:
    """With a block that returns its input."""
    layer, inputs = made(answer, case), _inputs(case)
    silence(layer.block.attention)
    silence(layer.block.ffn)
    true = _true(layer, case)
    when = "with a block that returns its input"
    slips = _slips(true, *inputs) | _slips_of_epsilon(layer, true, *inputs)
    expect.close(
        _output(layer, inputs), true(*inputs), "the output", axes=POSITIONS, when=when, slips=slips
    )


def _slips_of_joining(
    true: _Prediction, hidden: Tensor, embedding: Tensor
) -> dict[str, Callable[[], Tensor]]:
    e, h = true.embed_norm, true.hidden_norm

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(true, **fields)(hidden, embedding)

    def side_by_side(first: Tensor, second: Tensor) -> Callable[[], Tensor]:
        return lambda: true.norm(true.block(true.join(torch.cat([first, second], dim=-1))))

    def shifted(by: int, which: int) -> Callable[[], Tensor]:
        moved = [hidden, embedding]
        moved[which] = moved[which].roll(by, dims=1)
        return lambda: true(*moved)

    one_further = "The caller has put what belongs together at the same position."
    return {
        "Which comes first, side by side? The embedding does.": side_by_side(
            h(hidden), e(embedding)
        ),
        "Does each of the two have its own norm?": changed(embed_norm=h, hidden_norm=e),
        "Does embed_norm go to the embedding alone?": changed(hidden_norm=e),
        "Does hidden_norm go to the hidden state alone?": changed(embed_norm=h),
        "Do the embedding and its norm belong together, and come first?": side_by_side(
            e(hidden), h(embedding)
        ),
        "Are both normed before they are joined?": changed(embed_norm=_plain, hidden_norm=_plain),
        "Is the embedding normed?": changed(embed_norm=_plain),
        "Is the hidden state normed?": changed(hidden_norm=_plain),
        "Is the last norm there, behind the block?": changed(norm=_plain),
        "Does the last norm come behind the block, and not before it?": changed(
            block=true.norm, norm=true.block
        ),
        "Is the last norm used once?": changed(norm=lambda x: true.norm(true.norm(x))),
        "Is the hidden state added once more? `join` alone brings it in.": changed(
            block=lambda x: true.block(x + hidden)
        ),
        "Is the embedding added once more? `join` alone brings it in.": changed(
            block=lambda x: true.block(x + embedding)
        ),
        "Is the hidden state added behind the block? `join` alone brings it in.": changed(
            block=lambda x: true.block(x) + hidden
        ),
        "Is what comes in added to the output? The last norm is the end.": lambda: (
            true(hidden, embedding) + hidden
        ),
        "Does the embedding come in?": side_by_side(h(hidden), h(hidden)),
        "Does the hidden state come in?": side_by_side(e(embedding), e(embedding)),
        f"Is the embedding moved by a position? {one_further}": shifted(-1, 1),
        "Is next_embedding moved by a position? It is already that of the next token.": lambda: (
            true(hidden, torch.cat([embedding[:, 1:], embedding[:, -1:]], dim=1))
        ),
        "Is next_embedding moved by a position and filled up with zeros? It is already that of the "
        "next token.": lambda: true(hidden, F.pad(embedding[:, 1:], (0, 0, 0, 1))),
        f"Is the embedding moved on by a position? {one_further}": shifted(1, 1),
        f"Is the hidden state moved by a position? {one_further}": shifted(-1, 0),
        f"Is the hidden state moved on by a position? {one_further}": shifted(1, 0),
    }


def _mtp_values(answer: type, case: Deep) -> None:
    layer, inputs = made(answer, case), _inputs(case)
    true = _true(layer, case)
    want, slips = true(*inputs), _slips(true, *inputs) | _slips_of_epsilon(layer, true, *inputs)
    _expect_causal(layer, inputs, case)
    parts = {f"layer.{name}": getattr(layer, name) for name in PARTS}
    for training in (False, True):
        layer.train(training)
        with calls_counted(parts) as counts:
            got = _output(layer, inputs)
        expect.close(got, want, "the output", axes=POSITIONS, slips=slips)
        called_once(counts)


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


def _slips(true: _Prediction, hidden: Tensor, embedding: Tensor) -> dict:
    both = true.joined(hidden, embedding)
    norm, block = true.norm, true.block
    return {
        **_slips_of_joining(true, hidden, embedding),
        "Where does the block come in?": lambda: norm(both),
        "Does the block get both, joined?": lambda: norm(block(hidden)),
        "Is the input of the block added to its output? Its residuals are inside.": lambda: norm(
            both + block(both)
        ),
        "Is the block used once?": lambda: norm(block(block(both))),
        "Does the block come behind `join`, and the norm behind the block?": lambda: block(
            norm(both)
        ),
        "Are positions and rows of the batch exchanged before the block?": lambda: norm(
            block(both.transpose(0, 1)).transpose(0, 1)
        ),
    }


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
    minutes=30,
    reference_answer=reference.MultiTokenPrediction,
    draw=_predictions,
    stages={
        "parts, shapes and types": _mtp_shapes,
        "both normed and joined, embedding first": _mtp_joined,
        "through the block, and no later position seen": _mtp_values,
        "inputs, weights and biases untouched": untouched(_mtp_use),
        "gradients reach both inputs and every part": _mtp_gradients,
    },
    hints=(
        "Two vectors of width D become one. Which of them has which norm, and which comes first?",
        "Look at the input of self.join: (B, L, 2·D), the embedding's half first.",
        "Put self.embed_norm of next_embedding and self.hidden_norm of hidden side by side along "
        "the last dimension; self.join, self.block, self.norm.",
    ),
    compared=Comparison(
        inputs=lambda: tuple(torch.randn(2, 4, 64, 64)),
        build=lambda answer: answer(compared_config()),
        run=lambda layer, inputs: layer(*inputs),
    ),
    needs=(check_deepseek_block,),
)
