"""The check of D4.2b: all parameters of a model, and those that one token uses."""

import numbers
import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

import torch

from checks.d4_deepseek.block import compared_config
from checks.d4_deepseek.cases import V2_OPTIONS, V3_OPTIONS, Deep, draw_case, draw_config, sizes
from checks.d4_deepseek.count_slips import (
    RAISED,
    counted_parts,
    idle_weights,
    norm_slips,
    share_slips,
    total_with,
)
from checks.d4_deepseek.stack import check_deepseek, made
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.time_limit import LAZY_TORCH
from helpers.model.deepseek_config import DeepSeekConfig
from solutions import d4_deepseek as reference

NAMES = ("total", "active")


@dataclass(frozen=True)
class _Counted:
    """One case: a configuration."""

    config: DeepSeekConfig

    def __str__(self) -> str:
        return sizes(self.config)


def _counted(rng: random.Random) -> list[_Counted]:
    """Nine cases: no, some and all layers dense; a query latent and none; values as wide as keys;
    V3's router; every expert chosen; segments that reach some of the experts, and more than all,
    in groups; numbers that float32 does not hold.
    """
    everyone, few_groups = rng.randint(3, 5), {"num_groups": 2, "top_groups": 1}
    kinds: list[dict] = [
        {"num_layers": 3, "dense_layers": 3, "q_latent": None},
        {"num_layers": 1, "dense_layers": 1, "q_latent": rng.randint(5, 9), "d_value": None},
        {"q_latent": rng.randint(5, 9), "num_experts": 9, "top_k": 2, "num_shared": 3},
        {"num_layers": 4, "dense_layers": rng.randint(1, 2), **V3_OPTIONS},
        {"q_latent": None, "d_value": None, "num_shared": 1},
        {"num_experts": everyone, "top_k": everyone},
        {"num_segments": 2, "num_experts": rng.randint(7, 9), "top_k": 3, "dense_layers": 1},
        {"num_segments": 3, "num_experts": 4, "top_k": 2, **V2_OPTIONS, **few_groups},
    ]
    return [_Counted(draw_config(rng, **kind)) for kind in kinds] + [_beyond_float32(rng)]


def _beyond_float32(rng: random.Random) -> _Counted:
    """Odd counts above 2**24, of which float32 holds the even ones alone."""
    while True:
        sizes = {"d_model": rng.choice((11, 13)), "expert_dim": 2 * rng.randint(150_000, 160_000)}
        kind = {"num_layers": 1, "num_experts": 4, "top_k": 2, "num_shared": 1} | sizes
        config = draw_config(rng, **kind)
        total, idle = sum(counted_parts(config).values()), idle_weights(config)
        if total % 2 and (total - idle) % 2:
            return _Counted(config)


def _pair(answer: Callable, case: _Counted) -> tuple[int, int]:
    """What the call returns, once it is two whole numbers and torch is as it was."""
    try:
        with ExitStack() as asked:
            for said, ask in RAISED.items():
                asked.enter_context(expect.asking(ask, said))
            got = answer(case.config)
    finally:
        device = torch.get_default_device().type
        if device != "cpu":
            torch.set_default_device("cpu")
    expect.pair(got, NAMES)
    expect.require(
        isinstance(got, tuple),
        f"the call must return a tuple, ({', '.join(NAMES)}), got {expect.shown(got)}",
    )
    for name, value in zip(NAMES, got, strict=True):
        expect.require(
            isinstance(value, numbers.Integral) and not isinstance(value, bool),
            f"{name} must be an int, got {expect.shown(value)}",
            "`//` divides whole numbers; `.numel()` returns an int.",
        )
    expect.require(
        device == "cpu",
        f"torch's default device must be as it was after the call, got {device}",
        "`with torch.device(...)` puts it back by itself.",
    )
    return int(got[0]), int(got[1])


def _count_kind(answer: Callable, case: _Counted) -> None:
    first, again = _pair(answer, case), _pair(answer, case)
    expect.require(
        first == again,
        f"the same configuration must have the same two numbers again, got {first} and {again}",
    )


def _expect_total(answer: Callable, case: _Counted) -> None:
    config, parts = case.config, counted_parts(case.config)
    total = sum(parts.values())
    sparse = config.num_layers - config.dense_layers
    slips = {
        "Is the total the first of the two?": total - idle_weights(config),
        "Does the input embedding count?": total - parts["embedding"],
        "Does the head count? Its weights are its own.": total - parts["head"],
        "Do the norms count?": total - parts["norms"],
        "Does the last norm count?": total - config.d_model,
        **norm_slips(config, total),
        "Are embedding, last norm and head counted, beside the blocks?": total
        - parts["embedding"]
        - parts["head"]
        - config.d_model,
        "Are experts as wide as a segment, d_model / m, and not as a token?": total
        + (config.num_segments - 1) * parts["routed"],
        "Has the model num_layers blocks, and no more?": total_with(
            config, num_layers=config.num_layers + 1
        ),
        "Are these bytes? A number takes four.": 4 * total,
        "Are these V3's? The model is that of `config`.": 671_026_404_352,
        "Are these millions? All digits are asked for.": total // 10**6,
        "Are the counts summed as float32? It holds whole numbers up to 2^24.": int(
            torch.tensor(total, dtype=torch.float32)
        ),
        "Are buffers counted? A balancing bias is no parameter.": total
        + sparse * config.num_experts,
        "Do the shared experts count?": total - parts["shared"],
        "Does the router count?": total - parts["router"],
        "Do all experts count, chosen or not?": total - parts["routed"],
        "Do the first dense_layers have a dense part, and no experts?": total_with(
            config, dense_layers=0
        ),
        "Which layers have experts, those from dense_layers on?": total_with(
            config, dense_layers=config.num_layers
        ),
    }
    _expect_number(_pair(answer, case)[0], total, "total", slips)


def _nearest(got: int, want: int, name: str) -> str:
    """The question to a number that is too small or too large, and that no slip explains."""
    if 0 < got < want / 20:
        return "Are tensors counted, and not the numbers in them? `.numel()` says how many."
    if name == "active" and want < got:
        return "Which idle experts are still counted? Each layer of experts leaves E - used idle."
    if name == "active":
        return "Is more taken off than the routed experts that a token does not use?"
    if want < got:
        ask = "Is each parameter counted once? A module's parameters hold those of its children."
        return f"{ask} Or: Is something counted that the model does not have?"
    return "Which of the model's parameters are left out?"


def _expect_number(
    got: int, want: int, name: str, slips: dict[str, int], otherwise: str = ""
) -> None:
    asks = [ask for ask, value in slips.items() if value == got != want]
    ask = expect.joined(asks) or otherwise or _nearest(got, want, name)
    expect.require(got == want, f"{name} must be {want:,}, got {got:,}", ask)


def _expect_active(answer: Callable, case: _Counted) -> None:
    config, parts = case.config, counted_parts(case.config)
    total, sparse = sum(parts.values()), config.num_layers - config.dense_layers
    used, idle = config.top_k * config.num_segments, idle_weights(config)
    expert, whole = idle_weights(config, config.num_experts - 1) // max(sparse, 1), 0
    in_groups = config.num_experts // config.num_groups * config.top_groups
    if sparse:
        whole = sum(parts[kind] for kind in ("router", "shared", "routed")) // sparse
    slips = {
        "It is the total, with nothing taken off. What of the experts that a token does not use?": (
            total
        ),
        "Are the experts of a segment as narrow as it is?": total - idle * config.num_segments,
        "Is top_k divided by num_segments? Each segment chooses top_k of its own.": total
        - idle_weights(config, config.top_k // config.num_segments),
        "Does a token use only top_k experts? Each of its segments chooses its own.": total
        - idle_weights(config, config.top_k),
        "Can a token use more experts than there are?": total - idle_weights(config, used),
        "Do groups bound the experts of a token? Each of its segments has its own groups.": total
        - idle_weights(config, min(used, in_groups)),
        "Does top_k count the routed experts alone? The shared ones are no part of it.": total
        - idle_weights(config, min(used + config.num_shared, config.num_experts)),
        "Does a token use one expert more than top_k, or are E - K - 1 of them idle?": total
        - idle_weights(config, used + 1),
        "Does a token use one expert fewer than top_k, or are E - K + 1 of them idle?": total
        - idle_weights(config, used - 1),
        "Does the head count? Every token uses all of it.": total - idle - parts["head"],
        "Does attention count? Every token uses it.": total - idle - parts["attention"],
        "Do the norms count?": total - idle - parts["norms"],
        "Are the idle experts those of all layers, dense ones too?": total
        - config.num_layers * (idle // max(sparse, 1)),
        "Does a token use one expert per layer?": total - idle_weights(config, 1),
        "Do all layers with experts leave some idle, and not only one?": total
        - idle // max(sparse, 1),
        "Do the dense layers leave anything idle?": total
        - config.num_layers * idle_weights(replace(config, dense_layers=config.num_layers - 1)),
        **share_slips(config, total - idle),
        "Do the shared experts count? Every token uses them.": total - idle - parts["shared"],
        "Are the shared experts taken for some of the top_k? A token uses them beside these.": total
        - idle_weights(config, used - config.num_shared),
        "Does the router count? Every token uses it.": total - idle - parts["router"],
        "Does the input embedding count? Here all of it does.": total - idle - parts["embedding"],
        "Does the whole input embedding count, and not one row of it?": total
        - idle
        - parts["embedding"]
        + config.d_model,
        "Do embedding and head count?": total - idle - parts["embedding"] - parts["head"],
        "Are the idle experts taken off, and not those in use?": total - sparse * used * expert,
        "Is one expert a share of the experts' parameters alone?": total
        - sparse * (whole // config.num_experts * (config.num_experts - used)),
        "Is it the experts alone that are idle for a token?": total * used // config.num_experts,
        "Is it the idle ones, or those in use, that are asked for?": idle,
        "Does what stands outside the experts count: attention, dense layers, embedding, head?": (
            parts["routed"] - idle + parts["shared"]
        ),
    }
    got, more = _pair(answer, case)[1], f"It is more than the total, {total:,}."
    ask = f"{more} Are the idle experts taken off, and not added?" if got > total else ""
    _expect_number(got, total - idle, "active", slips, ask)


def _count_dense(answer: Callable, case: _Counted) -> None:
    if case.config.dense_layers == case.config.num_layers:
        _expect_total(answer, case)
        _expect_active(answer, case)


def _count_total(answer: Callable, case: _Counted) -> None:
    _expect_total(answer, case)


def _count_active(answer: Callable, case: _Counted) -> None:
    if case.config.num_segments == 1:
        _expect_active(answer, case)


def _count_segments(answer: Callable, case: _Counted) -> None:
    if case.config.num_segments > 1:
        _expect_active(answer, case)


def _model_size(answer: type, case: Deep) -> None:
    """The size of the model that a count may be built from; its forward pass does not matter."""
    held = sum(weight.numel() for weight in made(answer, case).parameters())
    want = sum(counted_parts(case.config).values())
    expect.require(held == want, f"DeepSeek(config) must hold {want:,} parameters, got {held:,}")


_check_model_size = replace(
    check_deepseek,
    draw=lambda rng: [draw_case(rng), draw_case(rng, dense_layers=1, **V3_OPTIONS)],
    stages={"as many parameters as its parts": _model_size},
    needs=(),
)

check_count_parameters = Check(
    id="D4.2b",
    name="count_parameters",
    preload=LAZY_TORCH,
    reference_answer=reference.count_parameters,
    draw=_counted,
    stages={
        "two whole numbers": _count_kind,
        "all layers dense: nothing idle": _count_dense,
        "all parameters": _count_total,
        "of a layer's experts a token uses top_k": _count_active,
        "with segments up to m times as many": _count_segments,
    },
    hints=(
        "Which parameters does a token pass by: in which layers, and how many of them?",
        "Look at one layer's experts: numel of all their parameters over num_experts is one "
        "expert, and num_experts less those in use are idle.",
        "Sum numel over model.parameters(); for each layer of layers_of(model) take off one "
        "expert's parameters times num_experts less min(top_k · num_segments, num_experts).",
    ),
    compared=Comparison(
        inputs=lambda: (compared_config(),),
        run=lambda function, inputs: torch.tensor([int(value) for value in function(*inputs)]),
    ),
    needs=(_check_model_size,),
)
