"""The check of D1.5: the complete layer."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from checks.d1_moe.cases import Routing, reached, routings, slow_combination, spoil
from checks.d1_moe.dispatch import check_dispatch
from checks.d1_moe.experts import check_expert_array
from checks.d1_moe.layouts import readings
from checks.d1_moe.made_layer import batch, forward, new_layer, parts_of
from checks.d1_moe.routed import expect_own_choices
from checks.d1_moe.router import check_router
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import in_both_modes, made_in_type_in_force
from checks.grading.result import Built
from checks.grading.stages import Used, untouched
from solutions import d1_moe as reference


def _layer_shapes(answer: type, case: Routing) -> None:
    layer, x = new_layer(answer, case), batch(case)
    _, chosen = forward(layer, x, case)
    for t, row in enumerate(chosen.tolist()):
        expect.require(
            len(set(row)) == case.top_k,
            f"a token needs {case.top_k} different experts: last_experts of token {t} is {row}",
            "Is it what the router returned?",
        )
    # last_experts follows the last input in every mode
    forward(layer.eval(), x[:, :1], case, " of another call, in evaluation mode,")
    with torch.no_grad():
        forward(layer, x, case, " of a call under no_grad")
    _expect_sizes(layer, case)
    two_batches = torch.cat([x, -x], dim=1)
    expect_own_choices(layer, lambda: new_layer(answer, case)(two_batches))
    with expect.asking(_BFLOAT16, r"same dtype|expected scalar type|dtypes match"):
        forward(layer.bfloat16(), x.bfloat16(), case, " in bfloat16")


_BFLOAT16 = (
    "That is with the layer and x in bfloat16: is x brought to another type on its way to the "
    "router or the experts?"
)


def _expect_sizes(layer: Built, case: Routing) -> None:
    own, parts = layer.parameters(), parts_of(layer)
    held = sum(p.numel() for p in (parts[1].parameters() if parts else own))
    want = case.num_experts * 3 * case.d_model * case.expert_dim
    want += 0 if parts else case.num_experts * case.d_model
    what = "its experts" if parts else "its router and experts"
    expect.require(
        held == want,
        f"{what} must hold num_experts × 3 × d_model × expert_dim = {case.num_experts} × 3 × "
        f"{case.d_model} × {case.expert_dim}{'' if parts else ' and the router its own'}: "
        f"{want} numbers, got {held}",
        "Are all four sizes handed on?",
    )
    if parts and hasattr(parts[1], "__len__"):
        size = len(parts[1])
        expect.require(
            size == case.num_experts,
            f"the layer must have num_experts={case.num_experts} experts, got {size}",
            "Are the sizes of ExpertArray in their order, (d_model, expert_dim, num_experts)?",
        )


def _fused_values(layer: Built, x: Tensor, case: Routing) -> None:
    """The same for a layer without parts: one reading of its weights must lead to its output."""
    y, chosen = forward(layer, x, case)
    rows, tokens, wants = y.detach().flatten(0, 1), x.reshape(-1, case.d_model), []
    for reading in readings(layer, case):
        gates, experts = reading.route(tokens, case.top_k)
        wants.append(slow_combination(tokens, gates, experts, reading).detach())
        _expect_choices(chosen, experts, expect.near(rows, wants[-1]))
    if wants and not any(expect.near(rows, want) for want in wants):
        ask = "Is it the sum of gate · expert(token), with SwiGLU experts and renormalised gates?"
        expect.close(rows, wants[0], "the output", slips={ask: lambda: rows})


def _layer_values(answer: type, case: Routing) -> None:
    layer, x = new_layer(answer, case), batch(case)
    y, chosen = forward(layer, x, case)
    parts = parts_of(layer)  # as the call left them
    if parts is None:
        return _fused_values(layer, x, case)
    (router, array), tokens = parts, x.reshape(-1, case.d_model)
    gates, experts = router(tokens)
    want = slow_combination(tokens, gates, experts, array).detach()
    _expect_choices(chosen, experts, expect.near(y.detach().flatten(0, 1), want))
    swapped = x.transpose(0, 1).reshape(-1, case.d_model)

    def turned_back() -> Tensor:
        return want.view(x.shape[1], x.shape[0], -1).transpose(0, 1).flatten(0, 1)

    def routed_by(rows: Tensor) -> Tensor:
        gates, experts = router(rows)
        return slow_combination(tokens, gates, experts, array)

    def exchanged() -> Tensor:
        gates, experts = router(swapped)
        return slow_combination(swapped, gates, experts, array)

    slips = {
        "Where do the gates come in?": lambda: slow_combination(
            tokens, torch.ones_like(gates), experts, array
        ),
        "Are all of a token's experts weighted alike, without its gates?": lambda: slow_combination(
            tokens, torch.full_like(gates, 1 / case.top_k), experts, array
        ),
        "Do the experts read the tokens as they came, and not normed or scaled?": lambda: (
            slow_combination(F.normalize(tokens, dim=-1), gates, experts, array)
        ),
        "Does the router read the tokens as they came, and not normed or scaled?": lambda: (
            routed_by(F.normalize(tokens, dim=-1))
        ),
        "Is only the first choice used?": lambda: slow_combination(
            tokens, gates[:, :1], experts[:, :1], array
        ),
        "Does every token pass through expert 0, whatever it chose?": lambda: array[0](tokens),
        "Is x added to the output? The residual is the block's work.": lambda: want + tokens,
        "Are positions and rows of the batch exchanged on the way back?": exchanged,
        "Do rows go back in the order (batch, position), as they were cut?": turned_back,
    }
    expect.close(y.detach().flatten(0, 1), want, "the output", slips=slips)


def _expect_choices(chosen: Tensor, experts: Tensor, output_is_right: bool) -> None:
    ask = (
        "The output is right. Are these the choices that it is made from, row t for token t, "
        "sequence by sequence as in x?"
        if output_is_right
        else "Is each row you route one token of x, as it came and in the order of x?"
    )
    for t, (row, routed) in enumerate(zip(chosen.tolist(), experts.tolist(), strict=True)):
        expect.require(
            sorted(row) == sorted(routed),
            f"last_experts of token {t} must be the router's choice {routed}, got {row}",
            ask,
        )


def _layer_alone(answer: type, case: Routing) -> None:
    layer, x = new_layer(answer, case), batch(case)
    y, chosen = (value.detach() for value in forward(layer, x, case))
    width = x.shape[1]
    for b, i in ((0, width - 1), (x.shape[0] - 1, 0)):
        alone, row = forward(layer, x[b : b + 1, i : i + 1], case)
        name = f"token ({b}, {i}), sent alone, must come out as among the others: its output"
        got, want = alone.detach()[0, 0], y[b, i]
        if not expect.near(got, want):
            ask = _OTHER_TOKENS if expect.near(layer(x).detach(), y) else _ANEW
            expect.close(got, want, name, axes=("feature",), slips={ask: got.detach})
        expect.require(
            set(row[0].tolist()) == set(chosen[b * width + i].tolist()),
            f"row {b * width + i} of last_experts must belong to token ({b}, {i})",
            "Does last_experts run over positions first, then over the batch?",
        )


_OTHER_TOKENS = "Does it hang on other tokens, or on where it stands among them?"
_ANEW = (
    "A second call on all tokens gives yet another result: is something built or drawn anew inside "
    "`forward`, or kept from an earlier call?"
)


def _layer_use(answer: type, case: Routing) -> Used:
    layer, x = new_layer(answer, case), batch(case)
    return lambda: layer(x), lambda: {"x": x}


def _layer_made(answer: type, case: Routing) -> Built:
    return answer(case.d_model, case.num_experts, case.top_k, case.expert_dim)


def _layer_gradients(answer: type, case: Routing) -> None:
    """With every expert chosen no small step changes a choice, and every weight counts."""
    _layer_spares(answer, case)
    if case.top_k == 1:
        return
    every = Routing(case.tokens, case.d_model, case.top_k, case.top_k, case.expert_dim, case.seed)
    layer, x = new_layer(answer, every), batch(every).requires_grad_()
    direction = torch.randn(x.shape, generator=case.generator(), dtype=x.dtype)
    inputs = {"x": x, **dict(layer.named_parameters())}
    expect.gradient(lambda: (layer(x) * direction).sum(), inputs, case.generator())


def _layer_spares(answer: type, case: Routing) -> None:
    """One token: the weights of the experts it did not choose get no gradient."""
    layer, x = new_layer(answer, case), batch(case)[:1, :1]
    y, chosen = forward(layer, x, case)
    parts = parts_of(layer)
    if parts is None:
        return
    _, array = parts
    weights = list(array.parameters())
    touched = reached(y, weights)
    for i in set(range(case.num_experts)) - set(chosen.flatten().tolist()):
        expect.require(
            not (touched & reached(array[i](x[0]), weights)).any(),
            f"no gradient may reach expert {i}, which no token chose, and one does",
            "Is it run on tokens of others and weighted with 0?",
        )


def _layer_rows(answer: type, case: Routing) -> None:
    """Counted where the experts are modules of their own, as in the given constructor."""
    layer, x, rows = new_layer(answer, case), batch(case), []
    parts = parts_of(layer)
    if parts is None:
        return
    experts = [parts[1][i] for i in range(case.num_experts)]
    for expert in experts:
        if isinstance(expert, nn.Module):
            expert.register_forward_pre_hook(
                lambda expert, inputs: rows.append(inputs[0].numel() // case.d_model)
            )
    layer(x)
    most = x.shape[0] * x.shape[1] * case.top_k
    expect.require(
        sum(rows) <= most,
        f"experts must see at most T·K = {most} rows in all, got {sum(rows)}",
        "Are all experts computed densely, on tokens that did not choose them?",
    )
    _expect_idle_unread(answer, case)


def _expect_idle_unread(answer: type, case: Routing) -> None:
    """One token, and NaN in the weights of the experts it did not choose: 0 · NaN is NaN."""
    layer, x = new_layer(answer, case), batch(case)[:1, :1]
    y, chosen = forward(layer, x, case)
    _, array = parts_of(layer) or (None, None)
    if array is None:
        return
    for i in set(range(case.num_experts)) - set(chosen.flatten().tolist()):
        spoil(array, i, x[0])
    expect.require(
        expect.near(layer(x).detach(), y.detach()),
        "the output must not hang on experts that no token chose, and it does: with NaN in their "
        "weights it is another",
        "Are all experts computed densely, from their weights, and weighted with 0?",
    )


check_moe_layer = Check(
    id="D1.5",
    name="MoELayer",
    reference_answer=reference.MoELayer,
    draw=routings,
    stages=in_both_modes(
        {
            "shapes, types and last_experts": _layer_shapes,
            "inputs untouched": untouched(_layer_use, repeats=False),
            "type left to the caller": made_in_type_in_force(_layer_made),
            "output within 1e-5 of the token loop": _layer_values,
            "each token for itself": _layer_alone,
            "gradients reach x, router and the experts chosen": _layer_gradients,
            "experts see T·K rows, no more": _layer_rows,
        }
    ),
    hints=(
        "The router takes (T, D) and you hold (B, L, D). What is T?",
        "Look at x.reshape(-1, x.shape[-1]) and at what self.router returns for it.",
        "Reshape to one row per token, route the rows, remember the choices as "
        "self.last_experts, dispatch and combine, and reshape like x.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(64, 8, 2, 96),
        run=lambda layer, inputs: layer(*inputs),
    ),
    needs=(check_router, check_expert_array, check_dispatch),
)
