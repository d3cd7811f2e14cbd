"""What usual slips make of a block, by the question that each calls for."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from checks.d4_deepseek.parts import BLOCK_PARTS, Parts
from checks.grading import expect
from checks.grading.result import Built


def slips_of_block(parts: Parts, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    n, a, m, f = parts.attention_norm, parts.attention, parts.ffn_norm, parts.ffn
    pre = "Each part gets the norm of its input: x + f(norm(x))."

    def plain(x: Tensor) -> Tensor:
        return x

    def changed(**fields: Any) -> Callable[[], Tensor]:
        return lambda: replace(parts, **fields)(x)

    def halves(first: Callable, second: Callable) -> Callable[[], Tensor]:
        return lambda: second(first(x))

    def attended(x: Tensor) -> Tensor:
        return x + a(n(x))

    def fed(x: Tensor) -> Tensor:
        return x + f(m(x))

    return {
        "Is each part behind its own norm, attention_norm and ffn_norm?": changed(
            attention_norm=m, ffn_norm=n
        ),
        "Is attention_norm used for both parts? ffn_norm is the second's.": changed(ffn_norm=n),
        "Is ffn_norm used for both parts? attention_norm is the first's.": changed(
            attention_norm=m
        ),
        f"Is the norm before attention left out? {pre}": changed(attention_norm=plain),
        f"Is the norm before the feed-forward part left out? {pre}": changed(ffn_norm=plain),
        f"Are both norms left out? {pre}": changed(attention_norm=plain, ffn_norm=plain),
        f"Is the sum normed, norm(x + f(x))? {pre}": halves(
            lambda x: n(x + a(x)), lambda x: m(x + f(x))
        ),
        f"Is the norm behind each part, x + norm(f(x))? {pre}": halves(
            lambda x: x + n(a(x)), lambda x: x + m(f(x))
        ),
        "Does the feed-forward part see what attention added? It starts from that sum.": lambda: (
            attended(x) + f(m(x))
        ),
        "Do both parts get the same normed x? Each has a norm of its own input.": lambda: (
            attended(x) + f(n(x))
        ),
        "Does what attention adds reach the output? The second residual holds it.": lambda: (
            x + f(m(attended(x)))
        ),
        "Does the residual start from x, and not from its norm?": halves(
            lambda x: n(x) + a(n(x)), lambda x: m(x) + f(m(x))
        ),
        "Does the first residual start from x, and not from its norm?": halves(
            lambda x: n(x) + a(n(x)), fed
        ),
        "Does the second residual start from its own input, and not from its norm?": halves(
            attended, lambda x: m(x) + f(m(x))
        ),
        "Is x added to the output of attention?": halves(lambda x: a(n(x)), fed),
        "Is the sum after attention added to the output of the feed-forward part?": halves(
            attended, lambda x: f(m(x))
        ),
        "Is a residual added after each of the two parts?": halves(
            lambda x: a(n(x)), lambda x: f(m(x))
        ),
        "Is x added once more at the end? The sum after attention holds it.": halves(
            attended, lambda y: y + f(m(y)) + x
        ),
        "Is x added twice around attention?": halves(lambda x: 2 * x + a(n(x)), fed),
        "Is the sum added twice around the feed-forward part?": halves(
            attended, lambda x: 2 * x + f(m(x))
        ),
        "Does attention come first?": halves(fed, attended),
        "Where does the feed-forward part come in?": lambda: attended(x),
        "What does the feed-forward part read, the sum of x and attention, or attention's output "
        "alone?": lambda: attended(x) + f(m(a(n(x)))),
        "Is what the feed-forward part gives added, and not taken off?": halves(
            attended, lambda x: x - f(m(x))
        ),
        "Is what attention gives added, and not taken off?": halves(lambda x: x - a(n(x)), fed),
        "Is the norm of each part used once?": halves(
            lambda x: x + a(n(n(x))), lambda x: x + f(m(m(x)))
        ),
        "Is the feed-forward part's input normed twice? It gets ffn_norm of its input alone.": (
            changed(ffn_norm=lambda x: m(n(x)))
        ),
        **{
            f"Does the norm before {part} take the mean away? An RMSNorm divides by the root mean "
            "square alone.": changed(**{name: partial(_without_mean, getattr(parts, name))})
            for part, name in (
                ("attention", "attention_norm"),
                ("the feed-forward part", "ffn_norm"),
            )
        },
        "Is what the feed-forward part gives added once?": halves(
            attended, lambda x: x + 2 * f(m(x))
        ),
        "Is what attention gives added once?": halves(lambda x: x + 2 * a(n(x)), fed),
        "Is what the feed-forward part gives added whole, and not halved?": halves(
            attended, lambda x: x + f(m(x)) / 2
        ),
        "Is the feed-forward part used twice?": halves(attended, lambda x: fed(fed(x))),
        "Is attention used twice?": halves(lambda x: attended(attended(x)), fed),
        "Is the output normed? The model has a norm behind its last block.": lambda: m(parts(x)),
        "Are positions and rows of the batch exchanged before attention?": halves(
            lambda x: x + a(n(x).transpose(0, 1)).transpose(0, 1), fed
        ),
    }


def _without_mean(norm: Any, x: Tensor) -> Tensor:
    """A layer norm with weight and epsilon of an RMSNorm."""
    return F.layer_norm(x, norm.weight.shape, norm.weight, eps=norm.eps)


def slips_of_silent(parts: Parts, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of x where attention and feed-forward part return zeros."""
    n, m = parts.attention_norm, parts.ffn_norm
    return {
        "Is x added to the output of each of the two parts?": lambda: torch.zeros_like(x),
        "Is x added more than once, where it is x + f(norm(x))?": lambda: 2 * x,
        "Is x added twice around each part, where it is x + f(norm(x))?": lambda: 4 * x,
        "Does the first residual carry x itself past, and not its norm?": lambda: n(x),
        "Does the second residual carry its input past, and not its norm?": lambda: m(x),
        "Is the output normed once more? Nothing stands behind the second sum.": lambda: m(x),
        "Do the residuals go past the norms, as in x + f(norm(x))?": lambda: m(n(x)),
    }


def why_scaled(got: Tensor, want: Tensor, x: Tensor, what: str) -> dict[str, Callable[[], Tensor]]:
    """The question to an output that adds to x what it must, times a number; none to others."""
    came, added = (output.detach().double() - x.double() for output in (got, want))
    times = float((came * added).sum() / (added * added).sum().clamp(min=1e-300))
    if not expect.near(came, times * added) or min(abs(times), abs(times - 1)) < 1e-3:
        return {}
    ask = f"What {what} adds is {times:.3g} times what it must be: is it scaled?"
    return {f"{ask} It is added as it is.": lambda: got}


def slips_of_options(block: Built, true: Parts, x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """What comes of parts as the block made them, where those have other options."""
    made: dict[str, Any] = {name: getattr(block, name) for name in BLOCK_PARTS}
    norms = {name: made[name] for name in ("attention_norm", "ffn_norm")}

    def own(parts: dict[str, Any]) -> Callable[[], Tensor]:
        return lambda: replace(true, **parts)(x)

    return {
        "Are both norms made with config.norm_eps, in every layer?": own(norms),
        "Is attention made of all of config.attention(), theta too, in every layer?": own(
            {"attention": made["attention"]}
        ),
        "Is the DeepSeekMoE made of all of config.experts(), in every layer?": own(
            {"ffn": made["ffn"]}
        ),
        "Are all parts made with the options of config, in every layer?": own(made),
    }


def slips_of_chunks(parts: Parts, x: Tensor, lengths: list[int]) -> dict:
    return {
        "Is the output of attention with the cache used, and not one without it?": lambda: (
            torch.cat([parts(part) for part in x.split(lengths, dim=1)], dim=1)
        ),
        **slips_of_block(parts, x),
    }
