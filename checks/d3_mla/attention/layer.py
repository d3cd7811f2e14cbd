"""The check of D3.3e: DeepSeek's complete attention."""

from collections.abc import Callable

import torch
from torch import Tensor

from checks.d3_mla.attention.attend import check_attend
from checks.d3_mla.attention.extremes import ASK_HIDDEN, LONG, expect_finite
from checks.d3_mla.attention.layer_cached import (
    layer_cached,
    layer_chunks,
    layer_prefill,
    layer_stateless,
)
from checks.d3_mla.attention.layer_cases import (
    SlowAttention,
    WatchedCache,
    attentions,
    made,
    slow,
    steep,
)
from checks.d3_mla.attention.layer_output import (
    LEAST,
    asks_of_values,
    expect_close,
    expect_long,
    output,
)
from checks.d3_mla.attention.layer_slips import slips_of_merging, slips_of_parts
from checks.d3_mla.cache import check_latent_cache
from checks.d3_mla.cases import Latent, bound_of, in_single
from checks.d3_mla.joint_latent import check_joint_latent
from checks.d3_mla.older_parts import as_taken
from checks.d3_mla.queries import check_query_path
from checks.d3_mla.rotary_key import check_rotary_key
from checks.grading import expect
from checks.grading.check import Check
from checks.grading.comparison import Comparison
from checks.grading.result import Built
from checks.grading.stages import Used, state, untouched
from solutions import d3_mla as reference


def _layer_shapes(answer: type, case: Latent) -> None:
    layer = made(answer, case)
    slow(layer, case)
    first, again = [output(layer, case.x()) for _ in range(2)]
    output(layer, case.x()[:1, :1])
    expect.require(
        _same(first - again),
        "the same x must have the same output a second time, and it does not",
        "Is something kept from one call to the next, or drawn at random?",
    )
    if hasattr(layer, "new_cache"):
        _expect_new_cache(layer, case)


def _expect_new_cache(layer: Built, case: Latent) -> None:
    """Looked at and not used: another check judges the learner's cache."""
    first, second = [layer.new_cache(case.batch, 9) for _ in range(2)]
    expect.require(
        first is not second and len(first) == 0,
        "layer.new_cache must make a new and empty cache at each call, and it does not",
        "Is it made inside new_cache, and not kept?",
    )
    want, widths = (case.d_latent, case.d_rope), getattr(first, "widths", None)
    expect.require(
        widths is None or tuple(widths) == want,
        f"layer.new_cache must make a cache of widths (d_latent, d_rope) = {want}, got {widths}",
        "What is cached for a token? The latent, and then the one rotary key, nothing by head.",
    )


def _layer_causal(answer: type, case: Latent) -> None:
    """A token in the middle and the last one are drawn anew; all before must stay."""
    layer, x = made(answer, case), case.x()
    y = output(layer, x)
    for place in {case.length // 2, case.length - 1}:
        other = x.clone()
        other[:, place] = case.draw(case.batch, case.d_model, offset=2)
        moved = output(layer, other) - y
        first = next(i for i in range(place + 1) if i == place or not _same(moved[:, i]))
        expect.require(
            first == place,
            f"the output of position {first} must not depend on position {place}, and it does",
            "" if first == place else _why_seen(slow(layer, case), x, y),
        )
        expect.require(
            all(not _same(row[place]) for row in moved),
            f"the output of position {place} must depend on x at position {place} in every row "
            "of the batch, and it does not",
            "Does a position see itself?",
        )


def _why_seen(true: SlowAttention, x: Tensor, y: Tensor) -> str:
    """Heads merged in the wrong order mix positions too."""
    slips = _softmax_slips(true, x) | slips_of_merging(true, x)
    asked = (ask for ask, made in slips.items() if expect.near(y, made()))
    return next(
        asked, "Are the scores of all later positions, and only theirs, -inf in the softmax?"
    )


def _same(moved: Tensor) -> bool:
    return float(moved.abs().max()) <= LEAST


def _layer_order(answer: type, case: Latent) -> None:
    """Without rotation the last position sees a set of tokens, in whatever order."""
    if case.length == 1:
        return
    layer, x = made(answer, case), case.x()
    reversed_prefix = torch.cat([x[:, :-1].flip(1), x[:, -1:]], dim=1)
    y = output(layer, x)
    kept = _same((output(layer, reversed_prefix) - y)[:, -1])
    expect.require(
        not kept,
        "the last output must change when the tokens before it come in the reverse order, "
        "and it does not",
        _why_kept(slow(layer, case), x, y) if kept else "",
    )


def _why_kept(true: SlowAttention, x: Tensor, y: Tensor) -> str:
    """A question on an output that does not depend on the order of earlier tokens."""
    asks = [ask for ask, made in _slips(true, x).items() if expect.near(y, made())]
    return expect.joined(asks) or (
        "Are the rotary parts of queries and key both turned, each by its own position, and do "
        "both reach the scores?"
    )


def _layer_values(answer: type, case: Latent) -> None:
    layer, x = made(answer, case), case.x()
    true = slow(layer, case)
    want, slips = true(x), _slips(true, x)
    for training in (False, True):
        got = output(layer.train(training), x)
        in_single(got, want, "the output")
        bound = bound_of(case.dtype)
        if not expect.near(got, want, bound):
            expect_close(got, want, slips=asks_of_values(got, want, slips), bound=bound)
    if case.batch == 1 and case.length > 1:
        expect_long(layer, true, [LONG], f"of {LONG}")


def _softmax_slips(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    keys = "A query's weights sum to 1 over the S keys, the last dimension of (B, H, L, S)."
    return {
        f"Does the softmax run over the queries? {keys}": lambda: true.softmax_over(x, -2),
        f"Does the softmax run over the heads? {keys}": lambda: true.softmax_over(x, 1),
    }


def _slips(true: SlowAttention, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    return {
        **_softmax_slips(true, x),
        "Is x added to the output? The residual is the block's work.": lambda: true(x) + x,
        "Does a position see itself?": lambda: true.seeing(x, lambda i: max(i, 1)),
        **slips_of_merging(true, x),
        **slips_of_parts(true, x),
    }


def _layer_steep(answer: type, case: Latent) -> None:
    if case.dtype != torch.float64:
        return
    layer, x = made(answer, case), case.x()
    true, when = slow(steep(layer), case), "with queries a thousand times as large"
    expect_finite(layer(x.clone()), when)
    got = output(layer, x)
    expect_close(got, true(x), when=when, slips={ASK_HIDDEN: lambda: got})


def _layer_use(answer: type, case: Latent) -> Used:
    layer, x = made(answer, case), case.x()

    def twice() -> None:
        layer(x)
        layer(x, WatchedCache(case, 2 * case.length))

    return twice, lambda: {"x": x, **state(layer)}


def _layer_gradients(answer: type, case: Latent) -> None:
    if case.dtype != torch.float64:
        return
    layer, x = made(answer, case), case.x()[:2, :4].clone().requires_grad_()
    direction = case.draw(*x.shape, offset=4)
    inputs = {"x": x, **dict(layer.named_parameters())}
    expect.gradient(lambda: (layer(x) * direction).sum(), inputs, case.generator(), expect.FINE)


check_mla = Check(
    id="D3.3e",
    name="MultiHeadLatentAttention",
    reference_answer=reference.MultiHeadLatentAttention,
    draw=attentions,
    stages=as_taken(
        {
            "shapes, types and weights": _layer_shapes,
            "x and weights untouched": untouched(_layer_use),
            "no position sees a later one": _layer_causal,
            "the order of earlier tokens matters": _layer_order,
            "without a cache within 1e-5 of slow loops, in float64 1e-10": _layer_values,
            "the same after a prefill": layer_prefill,
            "cached: the normed latent and the rotated key": layer_cached,
            "one by one and in chunks": layer_chunks,
            "nothing kept but in the cache": layer_stateless,
            "scores of some thousands": _layer_steep,
            "gradients reach x and every weight": _layer_gradients,
        },
        "angles",
        angles=None,
        scale=1.0,
    ),
    hints=(
        "Five tensors go into attend. Which of them know only the new positions, and which all "
        "positions so far?",
        "Look at len(cache) before anything is appended, and at the shapes (B, S, R) and (B, S, r) "
        "that cache.append returns.",
        "Take start from len(cache), or 0; make queries, latent and rotary key of x; append the "
        "latent and the key and go on with what comes back; self.latent.up, attend, flatten the "
        "heads, self.out.",
    ),
    compared=Comparison(
        inputs=lambda: (torch.randn(4, 64, 64),),
        build=lambda answer: answer(64, 4, 16, 24, 8, q_latent=32),
        run=lambda layer, inputs: layer(*inputs),
    ),
    needs=(
        check_query_path,
        check_joint_latent,
        check_rotary_key,
        check_attend,
        check_latent_cache,
    ),
)
