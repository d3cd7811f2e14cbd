"""The check of D2.3b: the router whose bias chooses and never weighs."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d1_moe.cases import dense_gates
from checks.d2_deepseek_moe.cases import Biased, affinities, biased_cases, logits_of
from checks.d2_deepseek_moe.choice import biased_choices, biased_groups
from checks.d2_deepseek_moe.groups import check_keep_top_groups
from checks.d2_deepseek_moe.precision import finite_gates, small_affinities, wide_inside
from checks.d2_deepseek_moe.routing import (
    given_weight,
    new_router,
    own_scores,
    route,
    router_of,
    router_with_bias,
    scores_of,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import in_both_modes, made_in_type_in_force
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from solutions import d2_deepseek_moe as reference


def _biased_shapes(answer: type, case: Biased) -> None:
    route(router_of(answer, case), case.x(), case)


def _biased_buffer(answer: type, case: Biased) -> None:
    """A tensor of zeros that is saved with the model and that no optimizer moves."""
    router = router_of(answer, case)
    held = sum(p.numel() for name, p in router.named_parameters() if name != "bias")
    want = case.d_model * case.num_experts
    expect.require(
        held == want,
        f"a router has d_model × num_experts = {want} weights, its parameters() hold {held}",
        "Has the projection a bias of its own?"
        if held == want + case.num_experts
        else "Is one matrix, num_experts by d_model, all that is learned?",
    )
    ask, shape = "Is it made by register_buffer, in floating point?", (case.num_experts,)
    held_bias = getattr(router, "bias", ...)
    is_float32 = isinstance(held_bias, Tensor) and held_bias.dtype == torch.float32
    dtype = torch.float32 if is_float32 else case.dtype  # it may stay float32 in a float64 router
    bias = expect.tensor(held_bias, "router.bias", shape, dtype, ask, ("experts",))
    ask = "Is it torch.zeros(num_experts)?"
    expect.require(not bias.any(), "router.bias must start as zeros, and it does not", ask)
    expect.require(
        "bias" not in dict(router.named_parameters()) and not bias.requires_grad,
        "router.bias must be a buffer, and it is a parameter, which an optimizer moves",
        "Is it made by register_buffer?",
    )
    expect.require(
        "bias" in router.state_dict(),
        "router.bias must be saved with the model, and it is not in state_dict()",
        "Is it made by register_buffer, and persistent?",
    )


def _biased_affinities(answer: type, case: Biased) -> None:
    router, x = router_of(answer, case), case.x()
    got, weight = own_scores(answer, router, x, case), given_weight(router, case)
    name = f"the {case.affinity} affinities, as the gates for top_k = num_experts without "
    name += "renormalising and scale,"
    again = own_scores(answer, router, x, case)
    if not expect.near(again, got):
        ask = "Is the projection made once, in the constructor?"
        expect.close(again, got, name, when="in a second call", slips={ask: lambda: again})
    if weight is None:
        slips = {"Does a token's affinity hang on other tokens?": lambda: got}
        alone = scores_of(answer, router, x, case)
        expect.close(got, alone, "the affinity, of the whole batch,", slips=slips)
        _is_of_linear(answer, router, case)
        return
    logits = x @ weight.detach().T
    want = affinities(logits, case)
    other = "softmax" if case.affinity == "sigmoid" else "sigmoid"
    slips = {
        f"Does affinity={case.affinity!r} choose the {case.affinity}?": lambda: affinities(
            logits, replace(case, affinity=other)
        ),
        "Are the logits themselves the gates?": lambda: logits,
        "With renormalise=False, are the gates left as they are?": lambda: (
            want / want.sum(-1, keepdim=True)
        ),
        "Does the softmax run over the experts of a token?": lambda: logits.softmax(0),
        "Is a sigmoid taken of what is an affinity already?": lambda: want.sigmoid(),
        "Are the logits divided by sqrt(d_model)? They are W x itself.": lambda: affinities(
            logits / case.d_model**0.5, case
        ),
        "Is x brought to length 1 first? The logits are W x itself.": lambda: affinities(
            F.normalize(x, dim=-1) @ weight.detach().T, case
        ),
        "Is a scale applied that is not the one asked for, here 1.0?": lambda: (
            want * got.sum() / want.sum()
        ),
        "Is every gate 1, and the affinity only in its gradient?": lambda: torch.ones_like(want),
        "Does every chosen expert get the same gate?": lambda: want.mean(-1, keepdim=True).expand(
            want.shape
        ),
        "Does each gate stand in the slot of its own expert?": lambda: (
            want.sort(dim=-1, descending=True).values
        ),
    }
    expect.close(got, want, name, slips=slips)


def _is_of_linear(answer: type, router: Built, case: Biased) -> None:
    """The logits read from affinities are a linear map of x, whatever holds the weights."""
    x = case.x() / 10  # where affinities are far from 0 and 1
    rows = torch.cat([x, x.flip(0), x + x.flip(0), torch.zeros_like(x)])
    scores = own_scores(answer, router, rows, case)
    if case.affinity == "softmax":
        expect.close(scores.sum(-1), torch.ones(len(rows)), "the sum of the softmax affinities")
        logits = scores.log() - scores.log().mean(-1, keepdim=True)
    else:
        logits = scores.logit()
    expect.require(logits.isfinite().all(), f"{case.affinity} affinities must lie between 0 and 1")
    a, b, both, none = logits.chunk(4)
    name = "the logit of x + y, which is that of x plus that of y,"
    expect.close(both - none, a + b - 2 * none, name, bound=1e-4)


_NOT_RENORMALISED = (
    "Did you renormalise after top-k?",
    "Is one gate alone renormalised too? Divided by itself it is 1, and then scale.",
)


def _biased_gates(answer: type, case: Biased) -> None:
    router, x = router_with_bias(answer, case, case.bias()), case.x()
    gates, experts = route(router, x, case)
    scores, bias = scores_of(answer, router, x, case), case.bias().to(case.dtype)

    chosen, top_k = scores.gather(1, experts), case.top_k

    def dense(gates: Tensor) -> Tensor:
        return dense_gates(case.scale * gates, experts, case.num_experts)

    def of(weights: Tensor, renormalise: bool = case.renormalise) -> Tensor:
        weights = weights.gather(1, experts)
        return dense(weights / weights.sum(-1, keepdim=True) if renormalise else weights)

    want = of(scores)
    apart = "Does each gate stand in the slot of its own expert?"
    slips = {
        "Does the bias leak into the gates?": lambda: of(scores + bias),
        "Does the bias leak into the gates, through the logits?": lambda: of(
            affinities(logits_of(scores, case) + bias, case)
        ),
        "Does the bias leak into the sum that divides?": lambda: dense(
            chosen / (scores + bias).gather(1, experts).sum(-1, keepdim=True)
        ),
        _NOT_RENORMALISED[top_k == 1]: lambda: of(scores, renormalise=False),
        "With renormalise=False, are the gates left as they are?": lambda: of(scores, True),
        "Where does scale come in? It comes last.": lambda: want / case.scale,
        "Is scale applied twice?": lambda: want * case.scale,
        "Are the gates multiplied by scale, and not divided?": lambda: want / case.scale**2,
        "Is it the sum of the chosen affinities that divides, and not that of all?": lambda: of(
            scores / scores.sum(-1, keepdim=True), renormalise=False
        ),
        "Is it the sum over a token's experts that divides, and not over the tokens?": lambda: (
            dense(chosen / chosen.sum(0))
        ),
        "Is each gate divided by itself? It is the sum over the token's chosen experts that "
        "divides.": lambda: dense(torch.ones_like(chosen)),
        "Is it a division that renormalises, and not a softmax?": lambda: dense(chosen.softmax(-1)),
        "Is a constant added to the sum that divides?": lambda: dense(
            chosen / (chosen.sum(-1, keepdim=True) + 1e-3)
        ),
        apart: lambda: of(scores) if top_k == 1 else _falling(want, experts),
        "Are the gates those of the experts chosen, with the bias, and not of the best without?": (
            lambda: _of_the_best(scores, experts, case)
        ),
    }
    got = dense_gates(gates, experts, case.num_experts)
    when = "" if case.renormalise else "with renormalise=False"
    expect.close(got, want, "the gate of each chosen expert", when=when, slips=slips)


def _falling(gates: Tensor, experts: Tensor) -> Tensor:
    """The gates of a token in falling order, given to its experts in the order of the slots."""
    in_slots = gates.gather(1, experts).sort(dim=-1, descending=True).values
    return dense_gates(in_slots, experts, gates.shape[1])


def _of_the_best(scores: Tensor, experts: Tensor, case: Biased) -> Tensor:
    """The gates of the experts with the highest affinities, given to those that were chosen."""
    gates = case.scale * scores.topk(case.top_k, dim=-1).values
    total = gates.sum(-1, keepdim=True) / case.scale if case.renormalise else 1.0
    return dense_gates(gates / total, experts, case.num_experts)


def _biased_use(answer: type, case: Biased) -> Used:
    router, x = router_with_bias(answer, case, case.bias()), case.x()
    return lambda: router(x), lambda: {"x": x, **state(router)}


def _biased_gradients(answer: type, case: Biased) -> None:
    """With a bias so large that a small step changes no choice, and x and scale that bend less."""
    if case.top_k == 1 and case.renormalise:
        return
    case = replace(case, scale=1.0)
    router = router_with_bias(answer, case, case.deciding_bias()).double()
    x = (case.x()[:6].double() / 3).requires_grad_()
    direction = torch.randn(len(x), case.num_experts, generator=case.generator(), dtype=x.dtype)

    def loss() -> Tensor:
        gates, experts = router(x)
        return (dense_gates(gates, experts, case.num_experts) * direction).sum()

    expect.gradient(loss, {"x": x, **dict(router.named_parameters())}, case.generator())


def _compared_gates(router: Built, inputs: tuple) -> Tensor:
    gates, experts = router(*inputs)
    return dense_gates(gates, experts, 16)


def _compared_router(answer: type) -> Built:
    router = answer(64, 16, 4, scale=2.5, num_groups=4, top_groups=2)
    router.bias.normal_(std=0.2)
    return router


check_biased_router = Check(
    id="D2.3b",
    name="BiasedRouter",
    reference_answer=reference.BiasedRouter,
    draw=biased_cases,
    stages=in_both_modes(
        {
            "shapes and types, different experts": _biased_shapes,
            "x, weights and bias untouched": untouched(_biased_use),
            "weights, and the bias a buffer of zeros": _biased_buffer,
            "type left to the caller": made_in_type_in_force(new_router),
            "affinities of all experts": _biased_affinities,
            "chosen by affinity + bias": biased_choices,
            "chosen from the best groups": biased_groups,
            "gates from the affinities alone": _biased_gates,
            "finite gates where affinities underflow": finite_gates,
            "gates sum to scale where affinities are small": small_affinities,
            "float32 or wider inside, whatever the type of x": wide_inside,
            "gradients reach x and the weights": _biased_gradients,
        }
    ),
    hints=(
        "A bias of +10 for expert 3 makes every token choose it. How large must its gate be then?",
        "Look at scores and scores + self.bias, both (T, E): which one goes to topk, and which "
        "one do you gather the gates from? And look at their dtype where x is bfloat16.",
        "Widen the logits to torch.promote_types(x.dtype, torch.float32) and take their "
        "affinities. Choose by affinity + bias, a new tensor, within its top groups if there are "
        "groups. The gates come from the affinities alone: gather them there, divide by their sum "
        "(kept above 0 by a clamp) if renormalise, multiply by scale, return to the type of x.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64),),
        build=_compared_router,
        run=_compared_gates,
    ),
    needs=(check_keep_top_groups,),
)
