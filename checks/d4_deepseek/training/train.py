"""The check of D4.3b: one optimiser step per batch, then one step of every balancing bias."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from checks.d2_deepseek_moe.balancing.rebalance import check_rebalance
from checks.d4_deepseek.training.loss import check_masked_loss
from checks.d4_deepseek.training.loss_slips import value_slips
from checks.d4_deepseek.training.training_cases import (
    GENTLE,
    STEEP,
    STEPS,
    Batch,
    Batches,
    Make,
    Run,
    Training,
    Variant,
    Watched,
    adamw,
    sgd,
    slow_training,
    trainings,
    true_loss,
)
from checks.d4_deepseek.training.training_slips import (
    BIAS_SLIPS,
    CLIP_SLIPS,
    LEFT_SLIPS,
    SCHEDULE_SLIPS,
    SHORT_SLIPS,
    raised,
    why_other_count,
    why_other_ids,
    why_some_unmoved,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from checks.grading.source import functions_of
from checks.grading.stages import Used, untouched
from checks.grading.time_limit import LAZY_TORCH
from helpers.measuring.traffic import layers_of
from solutions import d4_deepseek as reference


@dataclass(frozen=True)
class _Graded:
    """The run of an answer, the model it left, and the biases after each step of the optimiser."""

    run: Run
    model: Watched
    at_steps: list[list[Tensor]]


def _graded(answer, case: Training, count: int, sharp: float, make: Make = sgd) -> _Graded:
    """The answer on the first `count` batches, once it returned a loss for each."""
    model, batches, at_steps = case.model(sharp), Batches(case.batches()[:count]), []
    for layer in layers_of(model):
        _as_named_in(layer, answer)
    optimizer = make(list(model.parameters()))
    optimizer.register_step_post_hook(lambda *_: at_steps.append(model.biases()))
    with ExitStack() as asked:
        for said, ask in raised(case).items():
            asked.enter_context(expect.asking(ask, said))
        got = answer(model, iter(batches), optimizer, batches.step)
    return _Graded(Run.of(model, _losses(got, case.batches()[:count])), model, at_steps)


def _run(answer, case: Training, count: int, sharp: float, make: Make = sgd) -> Run:
    return _graded(answer, case, count, sharp, make).run


def _as_named_in(layer: nn.Module, answer: object) -> None:
    """The layer is also of the class that the answer's code calls DeepSeekMoE: it may ask."""
    for function in functions_of(answer):
        named = function.__globals__.get("DeepSeekMoE")
        if isinstance(named, type) and not isinstance(layer, named):
            kinds = (named,) if issubclass(named, type(layer)) else (type(layer), named)
            layer.__class__ = type("DeepSeekMoE", kinds, {})


def _losses(got: Built, batches: list[Batch]) -> list[float]:
    count = len(batches)
    wanted = f"train must return a list with the loss of each of {count} batches"
    if got is None:
        raise Wrong(f"{wanted}, got None. Did you forget a `return`?")
    ask = "Are they gathered in a list, one appended per batch?"
    expect.require(isinstance(got, list | tuple), f"{wanted}, got {expect.shown(got)}", ask)
    ask = why_other_count(len(got), batches)
    expect.require(len(got) == count, f"{wanted}, got {expect.shown(got)}", ask)
    for i, loss in enumerate(got):
        expect.require(
            not (isinstance(loss, Tensor) and loss.requires_grad),
            f"the loss of batch {i} must be a float, got a tensor that keeps its whole graph",
            "Which method of a tensor returns its plain number?",
        )
    return [expect.number(loss, f"the loss of batch {i}") for i, loss in enumerate(got)]


def _one_each(answer, case: Training) -> None:
    _run(answer, case, 2, GENTLE)
    ask = "There were no batches in this call. Does a line behind the loop need one?"
    with expect.asking(ask, "^(?!Wrong|Asked)"):
        _run(answer, case, 0, GENTLE)


def _fed(answer, case: Training) -> None:
    graded, fed = _graded(answer, case, 2, GENTLE), [ids[:, :-1] for ids, _ in case.batches()]
    for i, (want, got) in enumerate(zip(fed, graded.model.fed, strict=False)):
        expect.require(
            torch.equal(got, want),
            f"the model must get the first {want.shape[1]} tokens of each row of batch {i}, ids "
            f"of shape {tuple(want.shape)}, got others, of shape {tuple(got.shape)}",
            why_other_ids(got, i, fed),
        )
    calls, steps = len(graded.model.fed), len(graded.at_steps)
    expect.require(
        calls == steps == 2,
        f"for 2 batches the model must be called twice and the optimiser stepped twice, got "
        f"{calls} calls and {steps} steps",
        "Is `optimizer`, which came in, stepped once for each batch, and the model called once?",
    )


def _loss(answer, case: Training) -> None:
    (ids, real), got = case.batches()[0], _run(answer, case, 1, GENTLE).losses[0]
    with torch.no_grad():
        logits = case.model(GENTLE)(ids[:, :-1])
    slips = {
        "Are the targets the tokens after those that went in?": (ids[:, :-1], real[:, :-1]),
        "Are the marks those of the targets, real[:, 1:]?": (ids[:, 1:], real[:, :-1]),
        "Does a real target count also where the token before it is padding?": (
            ids[:, 1:],
            real[:, 1:] & real[:, :-1],
        ),
    }
    wrong = {ask: float(true_loss(logits, *pair)) for ask, pair in slips.items()}
    want = slow_training(case, 1, GENTLE).losses[0]
    wrong |= value_slips(logits, ids[:, 1:], real[:, 1:])
    expect.number_close(got, want, "the loss of batch 0", wrong)


def _expect_weights(got: Run, want: Run, case: Training, when: str, slips: Mapping) -> None:
    """`slips` maps a question to a function that returns the weights of the slip it asks about."""
    if expect.near(got.weights, want.weights):
        return
    start = _start(case)
    came, wanted = (float((run.weights - start).norm()) for run in (got, want))
    asks = [ask for ask, slip in slips.items() if expect.near(got.weights, slip())]
    turned = " in another direction" if abs(came - wanted) < 1e-4 else ""
    expect.require(
        False,
        f"{when}, all weights together must have moved by {wanted:.4g}, got {came:.4g}{turned}",
        expect.joined(asks) or why_some_unmoved(got.weights, case),
    )


def _start(case: Training) -> Tensor:
    return parameters_to_vector(case.model(1.0).parameters()).detach()


def _expect_steps(
    answer,
    case: Training,
    count: int,
    sharp: float,
    when: str,
    variants: Mapping[str, Variant],
) -> None:
    """SGD's, of the first `count` batches."""
    got, want = _run(answer, case, count, sharp), slow_training(case, count, sharp)

    def weights(variant: Variant) -> Tensor:
        return slow_training(case, count, sharp, variant=variant).weights

    slips: dict[str, Callable[[], Tensor]] = {
        ask: partial(weights, variant) for ask, variant in variants.items()
    }
    slips["Is the optimiser stepped, with the gradients that backward left?"] = partial(
        _start, case
    )
    _expect_weights(got, want, case, when, slips)


def _gentle(answer, case: Training) -> None:
    when = "after one step of SGD along a gradient whose norm is under 1"
    _expect_steps(answer, case, 1, GENTLE, when, SHORT_SLIPS)


def _steep(answer, case: Training) -> None:
    when = "after one step of SGD along a gradient that is cut to norm 1"
    _expect_steps(answer, case, 1, STEEP, when, CLIP_SLIPS)


def _biases(answer, case: Training) -> None:
    graded = _graded(answer, case, 1, GENTLE)
    _expect_biases(graded.run.biases, case, 1, "after one batch", BIAS_SLIPS)
    for i, bias in enumerate(graded.at_steps[0]):
        expect.require(
            not bias.any(),
            f"the bias of layer {i} of experts must move after the optimiser's step, and it moved "
            "before",
            "Is it moved when all else is done?",
        )


def _zeroed(answer, case: Training) -> None:
    when = "after two batches, one step of SGD each"
    _expect_steps(answer, case, 2, GENTLE, when, LEFT_SLIPS)


def _schedule(answer, case: Training) -> None:
    biases = _run(answer, case, 3, GENTLE).biases
    when = f"after three batches, for which bias_step() returned {STEPS[:3]},"
    _expect_biases(biases, case, 3, when, SCHEDULE_SLIPS)


def _expect_biases(
    got: Sequence[Tensor], case: Training, count: int, when: str, variants: Mapping[str, Variant]
) -> None:
    def bias_by(variant: Variant, i: int) -> Tensor:
        return slow_training(case, count, GENTLE, variant=variant).biases[i]

    for i, want in enumerate(slow_training(case, count, GENTLE).biases):
        far = float(got[i].abs().max())
        slips: dict[str, Callable[[], Tensor]] = {
            "Does the bias of every layer move, and is it kept?": (0 * want).clone
        }
        slips |= {ask: partial(bias_by, variant, i) for ask, variant in variants.items()}
        if far:
            slips["How far does it move? bias_step() says."] = (far * want.sign()).clone
        bias = expect.tensor(got[i], f"the bias of layer {i} of experts", want.shape, want.dtype)
        name = f"the bias of layer {i} of experts {when}"
        expect.close(bias, want, name, axes=("expert",), slips=slips, bound=1e-6)


def _together(answer, case: Training) -> None:
    got, want = _run(answer, case, 3, GENTLE, adamw), slow_training(case, 3, GENTLE, adamw)
    alone = "Is it the loss of this batch alone, before its own step?"
    stepped = "Did `optimizer.step()` make the steps before it, with all that it remembers?"
    for i, (came, wanted) in enumerate(zip(got.losses, want.losses, strict=True)):
        slips = {alone: came, stepped: came if i else math.nan}
        expect.number_close(came, wanted, f"the loss of batch {i}", slips)
    _expect_weights(got, want, case, "after three batches with AdamW", {})


def _use(answer, case: Training) -> Used:
    given, model = case.batches()[:1], case.model(GENTLE)
    batches, (ids, real) = Batches(given), given[0]
    optimizer = sgd(list(model.parameters()))
    tensors = {"ids of batch 0": ids, "real of batch 0": real}
    return lambda: answer(model, iter(batches), optimizer, batches.step), lambda: tensors


def _compared(function: Callable, inputs: tuple) -> Tensor:
    """The losses and the biases of three batches."""
    batches, model = Batches(inputs[0].batches()), inputs[0].model(GENTLE)
    with torch.enable_grad():
        losses = function(model, iter(batches), sgd(list(model.parameters())), batches.step)
    return torch.cat([torch.tensor(losses, dtype=torch.float64), *model.biases()])


check_train = Check(
    id="D4.3b",
    name="train",
    preload=LAZY_TORCH,
    reference_answer=reference.train,
    draw=trainings,
    stages={
        "one loss per batch": _one_each,
        "batches untouched": untouched(_use),
        "the first N - 1 tokens go in, once": _fed,
        "the loss of the next tokens, where they are real": _loss,
        "one step down the gradient": _gentle,
        "a long gradient is cut to norm 1": _steep,
        "every bias moves, by the real tokens that went in": _biases,
        "the gradients of each batch alone": _zeroed,
        "bias_step() is asked for each batch": _schedule,
        "three batches as a slow loop has them": _together,
    },
    hints=(
        "A row of 5 tokens, of which the last 2 are padding. Which go in, which are targets, and "
        "which of those that went in may steer the bias?",
        "Look at ids[:, :-1] and real[:, :-1], which go in, and at ids[:, 1:] and real[:, 1:], the "
        "targets. layers_of(model) returns the layers of experts.",
        "For each batch: masked_loss of the model's logits; zero_grad, backward, "
        "nn.utils.clip_grad_norm_ with 1.0, step; rebalance every layer with real[:, :-1] and "
        "bias_step(); append loss.item().",
    ),
    compared=Comparison(
        inputs=lambda: (Training((0, 8, 8), rows=16, length=64, seed=0),), run=_compared
    ),
    needs=(check_masked_loss, check_rebalance),
)
