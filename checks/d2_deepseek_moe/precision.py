"""Stages of D2.3b: what is float32 inside a narrower router, and gates that stay finite."""

import torch
from torch import Tensor

from checks.d1_moe.cases import dense_gates
from checks.d2_deepseek_moe.cases import Biased, affinities, is_clear, slow_choice
from checks.d2_deepseek_moe.routing import given_weight, new_router, route, router_of, scores_of
from checks.grading import expect
from checks.grading.result import Built, Wrong

NARROW = (torch.bfloat16, torch.float16)
FLOORS = (0.0, 1e-9, 1e-10)  # may be added to the sum that divides, to keep it above 0


def wide_inside(answer: type, case: Biased) -> None:
    """Float32 where x is narrower, float64 where x is, and gates in the type of x."""
    for dtype in NARROW:
        _expect_kept_bias(answer, case, dtype)
        for falling in (False, True):
            _expect_fine_bias(answer, case, dtype, falling)
            _expect_fine_affinities(answer, case, dtype, falling)
    if case.dtype == torch.float64:
        _expect_float64(answer, case)


def _fine(case: Biased, unit: float, falling: bool) -> Tensor:
    """A whole number of units for each expert, all different, or the same numbers turned round."""
    drawn = torch.randperm(case.num_experts, generator=case.generator())
    return unit * (case.num_experts - 1 - drawn if falling else drawn).double()


def _expect_kept_bias(answer: type, case: Biased, dtype: torch.dtype) -> None:
    router, bias = new_router(answer, case), case.bias()
    router.bias.copy_(bias)
    kept = router.to(dtype).bias
    expect.require(
        kept.dtype == torch.float32 and torch.equal(kept, bias),
        f"router.bias must stay float32 when the router is made {_name(dtype)}, and it is "
        f"{expect.shown(kept)}",
        "Does the class keep `_apply`, as the notebook gives it?",
    )


def _expect_fine_bias(answer: type, case: Biased, dtype: torch.dtype, falling: bool) -> None:
    """All affinities equal, and biases that differ by less than the narrow type can tell."""
    router, x = new_router(answer, case).to(dtype), torch.zeros(2, case.d_model, dtype=dtype)
    bias = 1 + _fine(case, torch.finfo(dtype).eps / 64, falling)
    with torch.no_grad():
        router.bias.copy_(bias)
    _expect_wide(router, x, torch.zeros(2, case.num_experts), bias, case, "biases")


def _expect_fine_affinities(answer: type, case: Biased, dtype: torch.dtype, falling: bool) -> None:
    """Logits that the narrow type holds exactly, and affinities that it cannot tell apart."""
    router = new_router(answer, case).to(dtype)
    if given_weight(router, case) is None:
        return
    logits = 2.0**-4 * (1 + _fine(case, torch.finfo(dtype).eps, falling))
    with torch.no_grad():
        router.gate.weight.zero_()[:, 0] = logits
    x = torch.eye(case.d_model, dtype=dtype)[:1]
    _expect_wide(router, x, logits[None], torch.zeros(case.num_experts), case, "affinities")


def _expect_wide(
    router: Built, x: Tensor, logits: Tensor, bias: Tensor, case: Biased, what: str
) -> None:
    """The choice, and then the gates, that float32 makes of these logits and this bias."""
    gates, experts = route(router, x, case)
    scores = affinities(logits.double(), case)
    by = scores + bias.double()
    for row, chosen, want in zip(by.tolist(), experts.tolist(), slow_choice(by, case), strict=True):
        if set(chosen) != want and is_clear(row, case.num_groups):
            raise Wrong(
                f"with x in {_name(x.dtype)} the choice must be {sorted(want)}, got "
                f"{sorted(chosen)}: {what} differ by less than {_name(x.dtype)} can tell, and "
                "float32 can. Are affinities, bias and their sum float32 there?"
            )
    weights = scores.gather(1, experts)
    total = weights.sum(-1, keepdim=True) if case.renormalise else 1.0
    bound = 4 * torch.finfo(x.dtype).eps * max(1.0, case.scale)
    name = f"the gate, with x in {_name(x.dtype)},"
    ask = {"Are the gates made from the float32 affinities?": lambda: gates}
    expect.close(gates, case.scale * weights / total, name, slips=ask, bound=bound)


def _expect_float64(answer: type, case: Biased) -> None:
    router, x = router_of(answer, case), case.x()
    if given_weight(router, case) is None:
        return
    gates, experts = route(router, x, case)
    weights = scores_of(answer, router, x, case).gather(1, experts)
    total = weights.sum(-1, keepdim=True) if case.renormalise else torch.ones(1)
    got = dense_gates(gates, experts, case.num_experts)
    wants = [
        dense_gates(case.scale * weights / (total + floor), experts, case.num_experts)
        for floor in FLOORS
    ]
    want = wants[0]
    expect.require(
        any(expect.near(got, each, 1e-11) for each in wants),
        f"with x in float64 all is float64, and the gates are off by "
        f"{float((got - want).abs().max()):.0e}, as float32 is",
        "Are only types narrower than float32 widened, as torch.promote_types does?",
    )


def finite_gates(answer: type, case: Biased) -> None:
    """All chosen affinities so small that they are 0: the sum of 0 must not divide."""
    router, x = router_of(answer, case), torch.ones(3, case.d_model, dtype=case.dtype)
    sigmoid = case.affinity == "sigmoid"
    if not sigmoid and given_weight(router, case) is None:
        return
    with torch.no_grad():
        for weight in router.parameters():
            weight.fill_(-200 if sigmoid else 0)
        if not sigmoid:  # one expert has everything, and the bias keeps it from being chosen
            router.gate.weight[0] = 200
            router.bias[0] = -10
    gates, _ = expect.pair(router(x), ("gates", "experts"))
    for t, row in enumerate(gates.detach()):
        expect.require(
            row.isfinite().all(),
            "gates must stay finite where every chosen affinity underflows to 0, and those of "
            f"token {t} are {row.tolist()}",
            "Is the sum that divides kept above 0, by a clamp or a tiny number added?",
        )


SMALL = -17.5  # a logit whose affinity, 2.5e-8, float16 rounds to 0


def small_affinities(answer: type, case: Biased) -> None:
    """All chosen affinities equal and small, not 0: renormalised they are as great as any."""
    if not case.renormalise:
        return
    for dtype in (case.dtype, *NARROW):
        router = new_router(answer, case).to(dtype)
        if not _make_small(router, case):
            return
        gates, _ = route(router, torch.eye(case.d_model, dtype=dtype)[:1], case)
        got = gates / case.scale
        expect.close(
            got,
            torch.full_like(got, 1 / case.top_k),
            f"with every affinity 2.5e-8 and x in {_name(dtype)}, the gate over scale",
            slips={_LATE_CAST if not got.any() else _NO_FLOOR: got.clone},
            bound=0.05,  # what is added to keep the sum above 0 may show a little
        )


_LATE_CAST = (
    "Are the affinities both made and divided in float32, and only the gates cast to the type of x?"
)
_NO_FLOOR = "Is the sum kept above 0 by a number so small that it never counts beside affinities?"


def _make_small(router: Built, case: Biased) -> bool:
    """Whether the weights could be made such that the first unit vector has small affinities."""
    if case.affinity == "softmax" and given_weight(router, case) is None:
        return False
    with torch.no_grad():
        for weight in router.parameters():
            weight.fill_(SMALL)
        if case.affinity == "softmax":  # one expert has everything, and the bias keeps it out
            router.gate.weight[0] = 0
            router.bias[0] = -10
    return True


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
