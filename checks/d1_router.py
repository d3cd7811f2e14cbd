"""The check of D1.1: the top-k router."""

import torch
from torch import Tensor, nn

from checks import expect
from checks.check import Check
from checks.compare import Comparison
from checks.routing_cases import Routing, dense_gates, routings
from solutions import d1_moe as reference


def _router(answer: type, case: Routing, top_k: int | None = None) -> nn.Module:
    router = answer(case.d_model, case.num_experts, top_k or case.top_k)
    expect.that(
        isinstance(router, nn.Module), f"TopKRouter must be an nn.Module, got {router!r:.60}"
    )
    return router.to(case.dtype)


def _route(router: nn.Module, x: Tensor, case: Routing) -> tuple[Tensor, Tensor]:
    """The router's gates and choices, once they have the right kind and range."""
    gates, experts = expect.pair(router(x), ("gates", "experts"))
    shape = (len(x), router.top_k if hasattr(router, "top_k") else case.top_k)
    expect.tensor(gates, "gates", shape, x.dtype, "Gates come in the dtype of x.")
    expect.tensor(experts, "experts", shape, torch.int64)
    low, high = int(experts.min()), int(experts.max())
    expect.that(
        low >= 0 and high < case.num_experts,
        f"experts must lie between 0 and num_experts - 1 = {case.num_experts - 1}, "
        f"got {low} to {high}",
    )
    return gates, experts


def _router_shapes(answer: type, case: Routing) -> None:
    _, experts = _route(_router(answer, case), case.x(), case)
    for t, row in enumerate(experts.tolist()):
        expect.that(
            len(set(row)) == case.top_k,
            f"a token needs {case.top_k} different experts: token {t} got {row}",
        )


def _router_weights(answer: type, case: Routing) -> None:
    router, x = _router(answer, case), case.x()
    held = sum(p.numel() for p in router.parameters())
    expect.that(
        held >= case.d_model * case.num_experts,
        f"a router has d_model × num_experts = {case.d_model * case.num_experts} weights, "
        f"its parameters() hold {held}",
        "Is the weight an nn.Linear or nn.Parameter made in __init__?",
    )
    first, second = (dense_gates(*_route(router, x, case), case.num_experts) for _ in range(2))
    expect.close(second, first, "the gates of a second call on the same x")


def _probabilities(answer: type, router: nn.Module, x: Tensor, case: Routing) -> Tensor:
    """`(T, E)`: what the router gives all experts, from one with its weights and top_k = E."""
    full = _router(answer, case, case.num_experts)
    try:
        full.load_state_dict(router.state_dict())
    except RuntimeError:
        ask = "Which shape has the projection?"
        expect.that(False, "the weights must not depend on top_k, and their shapes do", ask)
    gates, experts = expect.pair(full(x), ("gates", "experts"))
    expect.tensor(gates, "gates for top_k = num_experts", (len(x), case.num_experts), x.dtype)
    return dense_gates(gates, experts, case.num_experts)


def _router_choices(answer: type, case: Routing) -> None:
    router, x = _router(answer, case), case.x()
    _, experts = _route(router, x, case)
    scores = _scores(answer, router, x, case)
    for t, (row, chosen) in enumerate(zip(scores, experts, strict=True)):
        lowest, left = row[chosen].min(), row.clone().index_fill(0, chosen, -torch.inf).max()
        expect.that(
            lowest >= left - 1e-6,
            f"a token takes its {case.top_k} most probable experts: token {t} has probabilities "
            f"{_numbers(row)} and chose {sorted(chosen.tolist())}",
            "Over which dimension do softmax and top-k run?",
        )


def _scores(answer: type, router: nn.Module, x: Tensor, case: Routing) -> Tensor:
    weight = _given_weight(router, case)
    if weight is None:
        return _probabilities(answer, router, x, case).detach()
    return (x @ weight.T).softmax(-1).detach()


def _given_weight(router: nn.Module, case: Routing) -> Tensor | None:
    """The weight `(E, D)` of the given constructor, or None in a router laid out otherwise."""
    named = dict(router.named_parameters())
    weight = named.get("gate.weight")
    fits = weight is not None and weight.shape == (case.num_experts, case.d_model)
    return weight if fits and len(named) == 1 else None


def _numbers(row: Tensor) -> str:
    return "[" + ", ".join(f"{float(value):.2f}" for value in row) + "]"


def _router_sums(answer: type, case: Routing) -> None:
    gates, _ = _route(_router(answer, case), case.x(), case)
    sums = gates.detach().sum(-1)
    worst = int((sums - 1).abs().argmax())
    expect.that(
        abs(float(sums[worst]) - 1) < expect.BOUND,
        f"gate weights must sum to 1 for each token: token {worst} sums to {sums[worst]:.3g}",
        "Did you renormalise after top-k?",
    )


def _router_values(answer: type, case: Routing) -> None:
    router, x = _router(answer, case), case.x()
    gates, experts = _route(router, x, case)
    probs = _scores(answer, router, x, case).gather(1, experts)
    want = dense_gates(probs / probs.sum(-1, keepdim=True), experts, case.num_experts)
    uniform = torch.full_like(probs, 1 / case.top_k)
    slips = {
        "Do all chosen experts get the same gate?": lambda: dense_gates(
            uniform, experts, case.num_experts
        )
    }
    got = dense_gates(gates.detach(), experts, case.num_experts)
    expect.close(got, want, "the gate of each chosen expert", slips=slips)
    if _given_weight(router, case) is None:
        _is_softmax_of_linear(answer, router, case)


def _is_softmax_of_linear(answer: type, router: nn.Module, case: Routing) -> None:
    """Log-probabilities less their mean are an affine map of x, whatever holds the weights."""
    x = case.x()
    rows = torch.cat([x, x.flip(0), x + x.flip(0), torch.zeros_like(x)])
    logs = _probabilities(answer, router, rows, case).detach().log()
    logs = logs - logs.mean(-1, keepdim=True)
    a, b, both, none = logs.chunk(4)
    expect.close(
        both - none,
        a + b - 2 * none,
        "the logit (log-probability) of x + y, which is that of x plus that of y,",
        bound=1e-4,
    )


def _router_alone(answer: type, case: Routing) -> None:
    router, x = _router(answer, case), case.x()
    order = torch.randperm(len(x), generator=case.generator())
    together = dense_gates(*_route(router, x, case), case.num_experts).detach()
    shuffled = dense_gates(*_route(router, x[order], case), case.num_experts).detach()
    single = dense_gates(*_route(router, x[-1:], case), case.num_experts).detach()
    expect.close(shuffled, together[order], "the gates after tokens are shuffled")
    expect.close(single, together[-1:], "the gates when the last token comes alone")


def _router_untouched(answer: type, case: Routing) -> None:
    x = case.x()
    kept = x.clone()
    _router(answer, case)(x)
    expect.unchanged({"x": kept}, {"x": x})


def _router_gradients(answer: type, case: Routing) -> None:
    """Run with every expert chosen, so that a small step changes no choice."""
    router = _router(answer, case, case.num_experts).double()
    x = case.x().double().requires_grad_()
    way = torch.randn(len(x), case.num_experts, generator=case.generator(), dtype=x.dtype)

    def loss() -> Tensor:
        gates, experts = router(x)
        return (dense_gates(gates, experts, case.num_experts) * way).sum()

    expect.gradient(loss, {"x": x, **dict(router.named_parameters())}, case.generator())


def _compared_router(router: nn.Module, inputs: tuple) -> Tensor:
    return dense_gates(*router(*inputs), 8)


check_router = Check(
    id="D1.1",
    name="TopKRouter",
    minutes=15,
    reference_answer=reference.TopKRouter,
    draw=routings,
    stages={
        "shapes and types, different experts": _router_shapes,
        "registered weights, the same answer twice": _router_weights,
        "the top_k most probable experts": _router_choices,
        "gates sum to 1": _router_sums,
        "gates within 1e-5 of the slow form": _router_values,
        "each token for itself": _router_alone,
        "inputs untouched": _router_untouched,
        "gradients reach x and the weights": _router_gradients,
    },
    hints=(
        "A token's probabilities sum to 1 before top-k. What do the chosen ones sum to after it?",
        "Look at probs.topk(self.top_k, dim=-1): it returns values (T, K) and indices (T, K).",
        "Project x to logits (T, E), take the softmax over experts, take the top_k values and "
        "indices of each token, divide the values by their sum with keepdim=True.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(512, 64),),
        build=lambda answer: answer(64, 8, 2),
        run=_compared_router,
    ),
)
