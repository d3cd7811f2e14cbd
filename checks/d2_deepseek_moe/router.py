"""The check of D2.3b: the router whose bias chooses and never weighs."""

from dataclasses import replace

import torch
from torch import Tensor

from checks.d1_moe.cases import dense_gates
from checks.d2_deepseek_moe.cases import (
    Biased,
    affinities,
    biased_cases,
    groups,
    is_clear,
    slow_choice,
)
from checks.d2_deepseek_moe.groups import check_keep_top_groups
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built, Wrong
from checks.grading.stages import Used, state, untouched
from solutions import d2_deepseek_moe as reference


def _router(answer: type, case: Biased) -> Built:
    router = answer(case.d_model, case.num_experts, case.top_k, **case.options())
    expect.module(router, "BiasedRouter")
    return router.to(case.dtype)


def _with_bias(answer: type, case: Biased, bias: Tensor) -> Built:
    router = _router(answer, case)
    with torch.no_grad():
        router.bias.copy_(bias)
    return router


def _route(router: Built, x: Tensor, case: Biased) -> tuple[Tensor, Tensor]:
    """The router's gates and choices, once they have the right kind and range."""
    gates, experts = expect.pair(router(x), ("gates", "experts"))
    shape = (len(x), case.top_k)
    expect.tensor(gates, "gates", shape, x.dtype, "Gates come in the dtype of x.")
    expect.tensor(experts, "experts", shape, torch.int64)
    low, high = int(experts.min()), int(experts.max())
    expect.require(
        low >= 0 and high < case.num_experts,
        f"experts must lie between 0 and num_experts - 1 = {case.num_experts - 1}, "
        f"got {low} to {high}",
    )
    for t, row in enumerate(experts.tolist()):
        expect.require(
            len(set(row)) == case.top_k,
            f"a token needs {case.top_k} different experts: token {t} got {row}",
        )
    return gates.detach(), experts


def _biased_shapes(answer: type, case: Biased) -> None:
    _route(_router(answer, case), case.x(), case)


def _biased_buffer(answer: type, case: Biased) -> None:
    """A tensor of zeros that is saved with the model and that no optimizer moves."""
    router = _router(answer, case)
    held = sum(p.numel() for name, p in router.named_parameters() if name != "bias")
    want = case.d_model * case.num_experts
    expect.require(
        held == want,
        f"a router has d_model × num_experts = {want} weights, its parameters() hold {held}",
        "The projection has no bias of its own.",
    )
    ask, shape = "Is it made by register_buffer, in floating point?", (case.num_experts,)
    bias = expect.tensor(getattr(router, "bias", ...), "router.bias", shape, case.dtype, ask)
    expect.require(not bias.any(), "router.bias must start as zeros, and it does not")
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


def _scores(answer: type, router: Built, x: Tensor, case: Biased) -> Tensor:
    """`(T, E)`: the affinities of all experts, from the given weight or from the router's own."""
    weight = _given_weight(router, case)
    if weight is None:
        return torch.cat([_own_scores(answer, router, row, case) for row in x.split(1)])
    return affinities(x @ weight.detach().T, case)


def _given_weight(router: Built, case: Biased) -> Tensor | None:
    """The weight `(E, D)` of the given constructor, or None in a router laid out otherwise."""
    named = dict(router.named_parameters())
    weight = named.get("gate.weight")
    fits = weight is not None and weight.shape == (case.num_experts, case.d_model)
    return weight if fits and len(named) == 1 else None


def _own_scores(answer: type, router: Built, x: Tensor, case: Biased) -> Tensor:
    """The affinities of all experts: the gates of a router with the same weights, top_k = E,
    no groups, no bias, no scale and nothing renormalised.
    """
    plain = replace(
        case, top_k=case.num_experts, renormalise=False, scale=1.0, num_groups=1, top_groups=1
    )
    full = _router(answer, plain)
    try:
        full.load_state_dict(router.state_dict())
    except RuntimeError:
        raise Wrong(
            "the weights must not depend on top_k or groups, and their names or shapes do. "
            "Which shape has the projection?"
        ) from None
    with torch.no_grad():
        full.bias.zero_()
    return dense_gates(*_route(full, x, plain), case.num_experts)


def _biased_affinities(answer: type, case: Biased) -> None:
    router, x = _router(answer, case), case.x()
    got, weight = _own_scores(answer, router, x, case), _given_weight(router, case)
    name = f"the {case.affinity} affinities, as the gates for top_k = num_experts without "
    name += "renormalising and scale,"
    if weight is None:
        expect.close(got, _scores(answer, router, x, case), "the affinities of the whole batch")
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
    }
    expect.close(got, want, name, slips=slips)


def _is_of_linear(answer: type, router: Built, case: Biased) -> None:
    """The logits read from affinities are a linear map of x, whatever holds the weights."""
    x = case.x() / 10  # where affinities are far from 0 and 1
    rows = torch.cat([x, x.flip(0), x + x.flip(0), torch.zeros_like(x)])
    scores = _own_scores(answer, router, rows, case)
    if case.affinity == "softmax":
        expect.close(scores.sum(-1), torch.ones(len(rows)), "the sum of the softmax affinities")
        logits = scores.log() - scores.log().mean(-1, keepdim=True)
    else:
        logits = scores.logit()
    expect.require(logits.isfinite().all(), f"{case.affinity} affinities must lie between 0 and 1")
    a, b, both, none = logits.chunk(4)
    name = "the logit of x + y, which is that of x plus that of y,"
    expect.close(both - none, a + b - 2 * none, name, bound=1e-4)


def _expect_choice(answer: type, case: Biased, *, grouped: bool) -> None:
    """The choices with a random bias, in training and in evaluation."""
    router, x = _with_bias(answer, case, case.bias()), case.x()
    scores, bias = _scores(answer, router, x, case).double(), case.bias().double()
    want, by = slow_choice(scores + bias, case), scores + bias
    slips = {
        "Does the bias take part in the choice?": lambda: slow_choice(scores, case),
        "Is the bias added to the affinities, and not taken off?": lambda: slow_choice(
            scores - bias, case
        ),
        "Is the bias added after the affinity is taken, and not to the logits?": lambda: (
            slow_choice(affinities(_logits(scores, case) + bias, case), case)
        ),
    }
    if grouped:
        slips |= {
            "Are groups asked for, and none kept?": lambda: slow_choice(
                by, replace(case, num_groups=1, top_groups=1)
            ),
            "Do groups compete by affinity + bias too?": lambda: slow_choice(
                by, case, group_scores=scores
            ),
            "Is a group's score the sum of its two highest?": lambda: slow_choice(by, case, max),
        }
    for training in (False, True):
        got = [set(row) for row in _route(router.train(training), x, case)[1].tolist()]
        _expect_sets(got, want, by, case, slips)


def _expect_sets(got: list[set], want: list[set], by: Tensor, case: Biased, slips: dict) -> None:
    for t, (chosen, wanted) in enumerate(zip(got, want, strict=True)):
        if chosen != wanted and is_clear(by[t].tolist(), case.num_groups):
            asks = [ask for ask, slip in slips.items() if slip() == got]
            raise Wrong(
                f"token {t} has affinity + bias {_numbers(by[t], case)}, so it must choose "
                f"{sorted(wanted)}, and it chose {sorted(chosen)}. "
                f"{asks[0] if asks else 'Which scores go to topk?'}"
            )


def _logits(scores: Tensor, case: Biased) -> Tensor:
    return scores.logit() if case.affinity == "sigmoid" else scores.log()


def _numbers(row: Tensor, case: Biased) -> str:
    parts = groups([f"{value:.2f}" for value in row.tolist()], case.num_groups)
    return "[" + " | ".join(", ".join(part) for part in parts) + "]"


def _biased_choices(answer: type, case: Biased) -> None:
    _expect_choice(answer, replace(case, num_groups=1, top_groups=1), grouped=False)


def _biased_groups(answer: type, case: Biased) -> None:
    if case.num_groups > 1:
        _expect_choice(answer, case, grouped=True)


def _biased_gates(answer: type, case: Biased) -> None:
    router, x = _with_bias(answer, case, case.bias()), case.x()
    gates, experts = _route(router, x, case)
    scores, bias = _scores(answer, router, x, case), case.bias().to(case.dtype)

    def of(weights: Tensor, renormalise: bool = case.renormalise, scale: float = case.scale):
        chosen = weights.gather(1, experts)
        total = chosen.sum(-1, keepdim=True) if renormalise else 1.0
        return dense_gates(scale * chosen / total, experts, case.num_experts)

    slips = {
        "Does the bias leak into the gates?": lambda: of(scores + bias),
        "Does the bias leak into the gates, through the logits?": lambda: of(
            affinities(_logits(scores, case) + bias, case)
        ),
        "Did you renormalise after top-k?": lambda: of(scores, renormalise=False),
        "With renormalise=False, are the gates left as they are?": lambda: of(scores, True),
        "Where does scale come in? It comes last.": lambda: of(scores, scale=1.0),
        "Is it the sum of the chosen affinities that divides, and not that of all?": lambda: of(
            scores / scores.sum(-1, keepdim=True), renormalise=False
        ),
    }
    got = dense_gates(gates, experts, case.num_experts)
    expect.close(got, of(scores), "the gate of each chosen expert", slips=slips)


def _biased_use(answer: type, case: Biased) -> Used:
    router, x = _with_bias(answer, case, case.bias()), case.x()
    return lambda: router(x), lambda: {"x": x, **state(router)}


def _biased_gradients(answer: type, case: Biased) -> None:
    """With a bias so large that a small step changes no choice, and x and scale that bend less."""
    if case.top_k == 1 and case.renormalise:
        return
    case = replace(case, scale=1.0)
    router = _with_bias(answer, case, case.deciding_bias()).double()
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
    minutes=20,
    reference_answer=reference.BiasedRouter,
    draw=biased_cases,
    stages={
        "shapes and types, different experts": _biased_shapes,
        "weights, and the bias a buffer of zeros": _biased_buffer,
        "affinities of all experts": _biased_affinities,
        "chosen by affinity + bias": _biased_choices,
        "chosen from the best groups": _biased_groups,
        "gates from the affinities alone": _biased_gates,
        "x, weights and bias untouched": untouched(_biased_use),
        "gradients reach x and the weights": _biased_gradients,
    },
    hints=(
        "A bias of +10 for expert 3 makes every token choose it. How large must its gate be then?",
        "Look at scores and scores + self.bias, both (T, E): which one goes to topk, and which "
        "one do you gather the gates from?",
        "Take affinities of the logits; add the bias to them in a new tensor, keep its top groups "
        "if there are groups, take the indices of its top_k; gather the affinities there, divide "
        "by their sum if renormalise, multiply by scale.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64),),
        build=_compared_router,
        run=_compared_gates,
    ),
    needs=(check_keep_top_groups,),
)
