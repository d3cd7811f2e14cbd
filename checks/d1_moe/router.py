"""The check of D1.1: the top-k router."""

from functools import partial

import torch
from torch import Tensor

from checks.d1_moe.cases import Routing, dense_gates, routings
from checks.d1_moe.routed import SAME_EXPERT_FOUND, expect_different, new_router, route
from checks.d1_moe.router_slips import (
    expect_same_gates,
    gate_slips,
    why_not_alone,
    why_other_sum,
)
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.modules import in_both_modes, made_in_type_in_force
from checks.grading.result import Built
from checks.grading.stages import Used, untouched
from solutions import d1_moe as reference


def _router_shapes(answer: type, case: Routing) -> None:
    _, experts = route(new_router(answer, case), case.x(), case)
    expect_different(experts, case.top_k)


def _router_weights(answer: type, case: Routing) -> None:
    router = new_router(answer, case)
    held, want = sum(p.numel() for p in router.parameters()), case.d_model * case.num_experts
    expect.require(
        held == want,
        f"a router has d_model × num_experts = {want} weights, its parameters() hold {held}",
        "Has the projection a bias? The logits are W x alone."
        if held == want + case.num_experts
        else "Is the weight an nn.Linear or nn.Parameter made in __init__, for all experts?",
    )


def _probabilities(answer: type, router: Built, x: Tensor, case: Routing) -> Tensor:
    """`(T, E)`: all probabilities, as the gates of a router with the same weights and top_k = E."""
    full = new_router(answer, case, case.num_experts).to(x.dtype)
    try:
        full.load_state_dict(router.state_dict())
    except RuntimeError:
        ask = "Which shape has the projection?"
        expect.require(False, "the weights must not depend on top_k, and their shapes do", ask)
    gates, experts = expect.pair(full(x), ("gates", "experts"))
    expect.tensor(gates, "gates for top_k = num_experts", (len(x), case.num_experts), x.dtype)
    return dense_gates(gates, experts, case.num_experts)


def _router_choices(answer: type, case: Routing) -> None:
    router, x = new_router(answer, case), case.x()
    _, experts = route(router, x, case)
    scores = _scores(answer, router, x, case)
    for t, (row, chosen) in enumerate(zip(scores, experts, strict=True)):
        lowest, left = row[chosen].min(), row.clone().index_fill(0, chosen, -torch.inf).max()
        expect.require(
            lowest >= left - 1e-6,
            f"a token takes its {case.top_k} most probable experts: token {t} has probabilities "
            f"{_numbers(row)} and chose {sorted(chosen.tolist())}",
            "Are those the largest, and of this token?",
        )


def _scores(answer: type, router: Built, x: Tensor, case: Routing) -> Tensor:
    weight = _given_weight(router, case)
    if weight is None:
        return _probabilities(answer, router, x, case).detach()
    return (x @ weight.T).softmax(-1).detach()


def _given_weight(router: Built, case: Routing) -> Tensor | None:
    """The weight `(E, D)` of the given constructor, or None in a router laid out otherwise."""
    named = dict(router.named_parameters())
    weight = named.get("gate.weight")
    fits = weight is not None and weight.shape == (case.num_experts, case.d_model)
    return weight if fits and len(named) == 1 else None


def _numbers(row: Tensor) -> str:
    return "[" + ", ".join(f"{float(value):.2f}" for value in row) + "]"


def _router_sums(answer: type, case: Routing) -> None:
    router, x = new_router(answer, case), case.x()
    gates, experts = route(router, x, case)
    gates, sums = gates.detach(), gates.detach().sum(-1)
    worst = int((sums - 1).abs().argmax())
    expect.require(
        abs(float(sums[worst]) - 1) < expect.BOUND,
        f"gate weights must sum to 1 for each token: token {worst} sums to {sums[worst]:.6g}",
        why_other_sum(gates, _scores(answer, router, x, case).gather(1, experts)),
    )


def _router_values(answer: type, case: Routing) -> None:
    router, x = new_router(answer, case), case.x()
    gates, experts = route(router, x, case)
    probs = _scores(answer, router, x, case).gather(1, experts)
    weight = _given_weight(router, case)
    logits = probs.log() if weight is None else (x @ weight.T).detach().gather(1, experts)

    def dense(affinity: Tensor) -> Tensor:
        share = affinity / affinity.sum(-1, keepdim=True)
        return dense_gates(share, experts, case.num_experts)

    slips = {ask: partial(dense, slip) for ask, slip in gate_slips(probs, logits, x).items()}
    got = dense_gates(gates.detach(), experts, case.num_experts)
    expect.close(got, dense(probs), "the gate", axes=("token", "expert"), slips=slips)
    if weight is None:
        _is_softmax_of_linear(answer, router, case)


def _is_softmax_of_linear(answer: type, router: Built, case: Routing) -> None:
    """Log-probabilities less their mean are an affine map of x, whatever holds the weights."""
    x = case.x()
    rows = torch.cat([x, x.flip(0), x + x.flip(0), torch.zeros_like(x)])
    logs = _probabilities(answer, router, rows, case).detach().log()
    logs = logs - logs.mean(-1, keepdim=True)
    a, b, both, none = logs.chunk(4)
    expect.close(
        both - none,
        a + b - 2 * none,
        "the logit for x + y, which is the logit for x plus the logit for y,",
        axes=("token", "expert"),
        slips={"Is there more than one linear map before the softmax?": lambda: both - none},
        bound=1e-4,
    )


def _router_alone(answer: type, case: Routing) -> None:
    router, x = new_router(answer, case), case.x()
    order = torch.randperm(len(x), generator=case.generator())
    routed = [route(router, rows, case) for rows in (x, x[order], x[-1:])]
    together, shuffled, single = (
        dense_gates(gates, experts, case.num_experts).detach() for gates, experts in routed
    )
    ask = why_not_alone(routed[0][1], case.num_experts)
    back = shuffled[order.argsort()]
    expect_same_gates(together, back, "in one order of the tokens", "in another", ask)
    expect_same_gates(together[-1:], single, "among the others", "when it comes alone", ask)


def _router_use(answer: type, case: Routing) -> Used:
    router, x = new_router(answer, case), case.x()
    return lambda: router(x), lambda: {"x": x}


def _router_made(answer: type, case: Routing) -> Built:
    return answer(case.d_model, case.num_experts, case.top_k)


def _router_hard(answer: type, case: Routing) -> None:
    """A token of zeros among others, logits in the thousands, weights and x in bfloat16."""
    router, x = new_router(answer, case), case.x()
    equal = torch.cat([x, torch.zeros_like(x[:1])])
    ask = "Is it top_k experts also where all are equally probable?"
    _expect_shares(answer, router, equal, case, "with a token of zeros at the end", ask)
    _expect_finite(router, 1000 * x)
    ask = "Is a logit cut off, or a constant added to what divides?"
    _expect_shares(answer, router, 1000 * x, case, "with logits in the thousands", ask, 1e-3)
    ask = (
        "Is something computed in bfloat16 that needs more digits, or in another type than the "
        "weights?"
    )
    _expect_shares(answer, router.bfloat16(), x.bfloat16(), case, "in bfloat16", ask, 0.05)


def _expect_finite(router: Built, x: Tensor) -> None:
    gates = expect.pair(router(x), ("gates", "experts"))[0]
    expect.require(
        not isinstance(gates, Tensor) or gates.isfinite().all(),
        "gates must be finite, and with logits in the thousands they are not",
        "Is the softmax written out? `exp` of a large logit is infinite: take the token's largest "
        "off first, or use `softmax`.",
    )


def _expect_shares(
    answer: type, router: Built, x: Tensor, case: Routing, when: str, ask: str, bound=expect.BOUND
) -> None:
    """The gates are the shares that the same weights give in float64."""
    gates, experts = route(router, x, case, f"That is {when}. {ask}")
    expect_different(experts, case.top_k, when, SAME_EXPERT_FOUND)
    wide = new_router(answer, case).double()
    wide.load_state_dict(router.state_dict())
    scores = _scores(answer, wide, x.double(), case)
    _expect_a_probable_one(scores, experts, when, ask)
    probs = scores.gather(1, experts)
    want = dense_gates(probs / probs.sum(-1, keepdim=True), experts, case.num_experts)
    got = dense_gates(gates.detach().double(), experts, case.num_experts)
    axes, slips = ("token", "expert"), {ask: lambda: got}
    expect.close(got, want, "the gate", axes=axes, when=when, slips=slips, bound=bound)


def _expect_a_probable_one(scores: Tensor, experts: Tensor, when: str, ask: str) -> None:
    """Raise Wrong if a token chose experts of probability 0 only, which have no shares."""
    sums = scores.gather(1, experts).sum(-1)
    t = int(sums.argmin())
    best = int(scores[t].argmax())
    expect.require(
        sums[t] > 0,
        f"token {t}, {when}, must choose expert {best}, of probability {scores[t, best]:.2f}, and "
        f"it chose {sorted(experts[t].tolist())}, of probability 0",
        ask,
    )


def _router_gradients(answer: type, case: Routing) -> None:
    """Once with every expert chosen, once over the tokens whose choice a small step leaves."""
    for top_k in {case.num_experts, case.top_k} - {1}:
        router = new_router(answer, case, top_k).double()
        x = case.x().double().requires_grad_()
        direction = torch.randn(len(x), case.num_experts, generator=case.generator(), dtype=x.dtype)
        direction[_undecided(_scores(answer, router, x.detach(), case), top_k)] = 0

        def loss(router=router, x=x, direction=direction) -> Tensor:
            gates, experts = router(x)
            return (dense_gates(gates, experts, case.num_experts) * direction).sum()

        inputs = {"x": x, **dict(router.named_parameters())}
        if direction.any():
            expect.gradient(loss, inputs, case.generator())


def _undecided(scores: Tensor, top_k: int) -> Tensor:
    """`(T,)`: where the last expert chosen is hardly more probable than the first one left."""
    ordered = scores.sort(dim=-1, descending=True).values
    left = ordered[:, top_k : top_k + 1].sum(-1)  # 0 where all are chosen
    return ordered[:, top_k - 1] < left * 1.1


def _compared_router(router: Built, inputs: tuple) -> Tensor:
    gates, experts = router(*inputs)
    return dense_gates(gates, experts, 8)


check_router = Check(
    id="D1.1",
    name="TopKRouter",
    reference_answer=reference.TopKRouter,
    draw=routings,
    stages=in_both_modes(
        {
            "shapes and types, different experts": _router_shapes,
            "inputs untouched": untouched(_router_use),
            "registered weights": _router_weights,
            "type left to the caller": made_in_type_in_force(_router_made),
            "each token for itself": _router_alone,
            "the top_k most probable experts": _router_choices,
            "gates sum to 1": _router_sums,
            "gates within 1e-5 of the slow form": _router_values,
            "equal logits, large logits, bfloat16": _router_hard,
            "gradients reach x and the weights": _router_gradients,
        }
    ),
    hints=(
        "A token's probabilities sum to 1 before top-k. What do the chosen ones sum to after it?",
        "Look at self.gate(x), the logits (T, E), and at probs.topk(self.top_k, dim=-1): it "
        "returns values (T, K) and indices (T, K).",
        "In the constructor keep top_k, and as self.gate an nn.Linear from d_model to num_experts "
        "without bias. In forward go from the logits of all experts to probabilities (softmax "
        "over experts), to the top_k of each token, and divide them by their sum (keepdim=True).",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64),),
        build=lambda answer: answer(64, 8, 2),
        run=_compared_router,
    ),
)
