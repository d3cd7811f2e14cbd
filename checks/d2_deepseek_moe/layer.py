"""The check of D2.3d: DeepSeek's complete layer."""

import random
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from checks.d1_moe.cases import TOKENS, spoil
from checks.d1_moe.dispatch import check_dispatch
from checks.d1_moe.experts import check_expert_array
from checks.d1_moe.routed import expect_own_choices
from checks.d2_deepseek_moe.cases import Biased
from checks.d2_deepseek_moe.layer_slips import SlowLayer
from checks.d2_deepseek_moe.router import check_biased_router
from checks.d2_deepseek_moe.segments import check_merge_segments, check_segment_tokens
from checks.d2_deepseek_moe.shared import check_shared_experts
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import in_both_modes, made_in_type_in_force
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from checks.grading.strided import strided
from solutions import d2_deepseek_moe as reference


def _layers(rng: random.Random) -> list[Biased]:
    """Eight cases: one segment and more, the published options, one token, one expert and all."""

    def case(num_segments=1, num_experts=None, top_k=None, tokens=None, **kind: Any) -> Biased:
        num_experts = num_experts or rng.randint(4, 6)
        top_k = top_k or rng.randint(2, num_experts - 2)
        width, expert_dim = rng.sample(range(5, 10), 2)
        sizes = tokens or 3 * rng.choice((2, 4)), num_segments * width, num_experts, top_k
        kind = {"num_shared": rng.randint(1, 3), "num_segments": num_segments, **kind}
        return Biased(*sizes, expert_dim, rng.randrange(10**6), **kind)

    everyone = rng.randint(3, 4)
    return [
        case(dtype=torch.float32),
        case(1, 12, 4, 15, num_groups=4, top_groups=2, scale=2.5),  # V3
        case(rng.randint(3, 4), 12, 4, num_groups=4, top_groups=2, scale=2.5, contiguous=False),
        case(2, affinity="softmax", renormalise=False, scale=16.0),  # V2's scale
        case(3, tokens=1),
        case(num_experts=everyone, top_k=everyone),
        case(tokens=1),
        case(top_k=1, renormalise=False, scale=0.5),
    ]


def _new_layer(answer: type, case: Biased) -> Built:
    sizes = case.d_model, case.num_experts, case.top_k, case.expert_dim, case.num_shared
    return answer(*sizes, num_segments=case.num_segments, **case.options())


def _layer(answer: type, case: Biased) -> Built:
    """A layer whose router has a bias that changes choices."""
    layer = _new_layer(answer, case)
    expect.module(layer, "DeepSeekMoE")
    parts = [getattr(layer, name, None) for name in ("router", "experts", "shared")]
    expect.require(
        all(part is not None for part in parts) and hasattr(parts[0], "bias"),
        "the layer must keep layer.router, layer.experts and layer.shared, as the given "
        "constructor makes them, and one is missing",
    )
    held = len(layer.experts) if hasattr(layer.experts, "__len__") else case.num_experts
    expect.require(
        held == case.num_experts,
        f"layer.experts must be num_experts={case.num_experts} experts, got {held}",
        "Are the sizes of ExpertArray in their order, (width, expert_dim, num_experts)?",
    )
    with torch.no_grad():
        layer.router.bias.copy_(case.bias())
    return layer.to(case.dtype)


def _x(case: Biased) -> Tensor:
    """`(B, L, D)`, not contiguous in a case that says so."""
    shape = (3, case.tokens // 3) if case.tokens > 1 else (1, 1)
    x = 3 * torch.randn(*shape, case.d_model, generator=case.generator(), dtype=case.dtype)
    return x if case.contiguous else strided(x)


def _forward(layer: Built, x: Tensor, case: Biased) -> tuple[Tensor, Tensor]:
    """The output, one row per token, and the choices, once both have the right kind."""
    y = expect.tensor(
        came := _called(layer, x, case), "the output", x.shape, x.dtype, _ask(came, case), TOKENS
    )
    chosen = getattr(layer, "last_experts", None)
    ask = "Which of the two things that the router returns are they?"
    expect.require(chosen is not None, "the layer must keep its choices as self.last_experts", ask)
    m = case.num_segments
    shape = (x.shape[0] * x.shape[1] * m, case.top_k)
    ask = "Does it hold the experts that the router returned in this call, one row per segment of "
    ask += "a token, T·m in all?"
    axes = f"rows ({m} a token)" if m > 1 else "rows", "top_k"
    chosen = expect.tensor(chosen, "last_experts", shape, torch.int64, ask, axes)
    return y.detach().reshape(-1, case.d_model), chosen


def _called(layer: Built, x: Tensor, case: Biased) -> Any:
    """What the layer returns; matrices that do not fit are told beside the shapes that do."""
    tokens, m = x.shape[0] * x.shape[1], case.num_segments
    ask = (
        f"Of x {tuple(x.shape)} the tokens are {(tokens, case.d_model)} and the rows cut from them "
        f"{(m * tokens, case.d_model // m)}: do layer.router and the routed experts get these "
        "rows, and layer.shared these tokens?"
    )
    with expect.asking(ask, "shapes cannot be multiplied"):
        return layer(x)


def _ask(output: object, case: Biased) -> str:
    width = case.d_model // case.num_segments
    if isinstance(output, Tensor) and output.shape[-1:] == (width,) != (case.d_model,):
        return (
            f"Its rows are still D/m = {width} wide: where are a token's slices put together "
            "again (merge_segments)?"
        )
    return "Is it in the shape and type of x?"


def _layer_shapes(answer: type, case: Biased) -> None:
    layer, x = _layer(answer, case), _x(case)
    _forward(layer, x, case)
    _forward(layer, x[:, :1], case)  # last_experts follows the last input


def _layer_own(answer: type, case: Biased) -> None:
    layer, x = _layer(answer, case), _x(case)
    _forward(layer, x, case)
    expect_own_choices(layer, lambda: _layer(answer, case)(-x))


def _layer_narrow(answer: type, case: Biased) -> None:
    """In bfloat16, with choices that the bias alone decides, beside the same weights in float64."""
    layer, x = _layer(answer, case).bfloat16(), _x(case).bfloat16()
    with torch.no_grad():
        layer.router.bias.copy_(case.deciding_bias())
    ask = "x and all weights are bfloat16 here: is something made float32 on its way to them?"
    with expect.asking(ask, "same dtype|dtypes match|expected scalar type"):
        y, chosen = _forward(layer, x, case)
    want, others = _forward(layer.double(), x.double(), case)
    same = torch.equal(chosen.sort(dim=-1).values, others.sort(dim=-1).values)
    expect.require(same, "the choices that the bias alone decides change when x is in bfloat16")
    expect.close(y, want, "with x in bfloat16 the output", bound=0.05)


def _layer_weights(answer: type, case: Biased) -> None:
    layer, width = _layer(answer, case), case.d_model // case.num_segments
    routed = case.num_experts * 3 * width * case.expert_dim
    shared = case.num_shared * 3 * case.d_model * case.expert_dim
    for name, want in (("experts", routed), ("shared", shared)):
        held = sum(p.numel() for p in getattr(layer, name).parameters())
        expect.require(
            held == want,
            f"layer.{name} must hold {want} weights, got {held}",
            "Do routed experts see slices of width d_model / num_segments, and shared ones whole "
            "tokens?",
        )
    expect.require(
        "router.bias" not in dict(layer.named_parameters()),
        "the router's bias must be a buffer, and it is among the layer's parameters",
        "Is it made by register_buffer?",
    )


def _expect_values(answer: type, case: Biased) -> None:
    layer, x = _layer(answer, case), _x(case)
    slow = SlowLayer(layer, x, case)
    y, chosen = _forward(layer, x, case)
    want = slow.output()
    slips = {} if expect.near(y, want) else slow.slips(x, y)
    expect.close(y, want, "the output", slips=slips)
    for r, (got, want) in enumerate(zip(chosen.tolist(), slow.experts.tolist(), strict=True)):
        expect.require(
            set(got) == set(want),
            f"row {r} of last_experts, segment {r % case.num_segments} of token "
            f"{r // case.num_segments}, must be what the router chose, {sorted(want)}, "
            f"got {sorted(got)}",
            "Are they the router's own choices, and do all slices of one token come before the "
            "next token's?",
        )


def _layer_one(answer: type, case: Biased) -> None:
    if case.num_segments == 1:
        _expect_values(answer, case)


def _layer_segments(answer: type, case: Biased) -> None:
    if case.num_segments > 1:
        _expect_values(answer, case)


def _layer_use(answer: type, case: Biased) -> Used:
    layer, x = _layer(answer, case), _x(case)
    return lambda: layer(x), lambda: {"x": x, **state(layer)}


def _layer_rows(answer: type, case: Biased) -> None:
    """Counted where experts are modules; another form of them is judged by D1's checks."""
    layer, x, rows = _layer(answer, case), _x(case), []
    for i in range(case.num_experts):
        if isinstance(layer.experts[i], nn.Module):
            layer.experts[i].register_forward_pre_hook(
                lambda net, inputs: rows.append(inputs[0].numel() // inputs[0].shape[-1])
            )
    segments = len(_forward(layer, x, case)[1])
    want, dense = segments * case.top_k, segments * case.num_experts
    expect.require(
        sum(rows) <= want,
        f"experts must see T·m·K = {segments}·{case.top_k} = {want} rows in all, got {sum(rows)}"
        + (", which is all experts on all rows" if sum(rows) == dense else ""),
        _ONLY_THE_CHOSEN,
    )
    _expect_idle_unread(layer, x, case)


_ONLY_THE_CHOSEN = "Does dispatch_combine send each expert only the rows that chose it?"


def _expect_idle_unread(layer: Built, x: Tensor, case: Biased) -> None:
    """An expert that nobody chooses, however it is held, may have NaN for weights."""
    if case.top_k == case.num_experts:
        return
    idle = case.seed % case.num_experts
    with torch.no_grad():
        layer.router.bias[idle] = -100.0
    spoil(layer.experts, idle, x.reshape(-1, case.d_model // case.num_segments)[:1])
    expect.require(
        layer(x).isfinite().all(),
        f"no row chose expert {idle}, and NaN in its weights reaches the output, so rows that did "
        "not choose an expert are computed by it",
        _ONLY_THE_CHOSEN,
    )


def _layer_gradients(answer: type, case: Biased) -> None:
    """With a bias that alone decides, a small step changes no choice; x and scale bend less."""
    if case.tokens == 1 or case.dtype != torch.float64:
        return
    case = replace(case, scale=1.0)
    layer, x = _layer(answer, case).double(), (_x(case)[:2, :2].double() / 3).requires_grad_()
    with torch.no_grad():
        layer.router.bias.copy_(case.deciding_bias())
    direction = torch.randn(x.shape, generator=case.generator(), dtype=x.dtype)
    layer(x)
    chosen = int(layer.last_experts[0, 0])
    expert = layer.experts[chosen]
    expert = expert if isinstance(expert, nn.Module) else layer.experts
    inputs = {"x": x}
    for part, module in (("router", layer.router), ("expert", expert), ("shared", layer.shared)):
        inputs |= {f"{part}.{name}": p for name, p in module.named_parameters()}
    expect.gradient(lambda: (layer(x) * direction).sum(), inputs, case.generator())


check_deepseek_moe = Check(
    id="D2.3d",
    name="DeepSeekMoE",
    reference_answer=reference.DeepSeekMoE,
    draw=_layers,
    stages=in_both_modes(
        {
            "shapes, types and last_experts": _layer_shapes,
            "last_experts of its own": _layer_own,
            "x, weights and bias untouched": untouched(_layer_use),
            "as many weights as its parts": _layer_weights,
            "type left to the caller": made_in_type_in_force(_new_layer),
            "one segment: routed plus shared": _layer_one,
            "segments, and whole tokens for the shared": _layer_segments,
            "bfloat16 in and out": _layer_narrow,
            "experts see T·m·K rows, no more": _layer_rows,
            "gradients reach x, router, experts and shared": _layer_gradients,
        }
    ),
    hints=(
        "Which of the parts see slices of a token, and which see the whole token?",
        "Look at the shapes: x (B, L, D), tokens (T, D), rows (T·m, D/m). Which goes to "
        "self.router, and which to self.shared?",
        "Reshape x to one row per token and cut those to rows of segments; route the rows, keep "
        "the choices as self.last_experts, dispatch and combine, merge; add the shared experts' "
        "output for the tokens, and reshape like x.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(64, 8, 2, 48, 1, num_segments=2, scale=2.5),
        run=lambda layer, inputs: layer(*inputs),
    ),
    needs=(
        check_biased_router,
        check_shared_experts,
        check_segment_tokens,
        check_merge_segments,
        check_dispatch,
        check_expert_array,
    ),
)
