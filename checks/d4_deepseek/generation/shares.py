"""How often each token must come, and the distributions that usual slips make."""

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from checks.grading import expect

DEVIATIONS = 6.0  # from the expected count; pure chance goes so far once in about 10 million


def expect_shares(
    tokens: Tensor,
    probs: Tensor,
    name: str,
    slips: Mapping[str, Callable[[], Tensor]],
    of: str = "token",
) -> None:
    """Raise Wrong unless each id comes about as often in `tokens` as `probs` says.

    `slips` maps a question to a function that returns the probabilities of the slip it asks about.
    """
    counts = tokens.bincount(minlength=len(probs)).double()
    off = _deviations(counts, probs)
    if off.max() <= DEVIATIONS:
        return
    wrong = {ask: float(_deviations(counts, slip()).max()) for ask, slip in slips.items()}
    asks = [ask for ask in sorted(wrong, key=lambda ask: wrong[ask]) if wrong[ask] <= DEVIATIONS]
    worst, total = int(off.argmax()), len(tokens)
    if not asks and ((counts == 0) & (total * probs > 20)).any():
        asks = ["Are only the likely tokens drawn from? Every token has its share."]
    expect.require(
        False,
        f"{name}, {of} {worst} must come about {float(total * probs[worst]):.0f} times in "
        f"{total} draws, got {int(counts[worst])}",
        asks[0] if asks else "",
    )


def _deviations(counts: Tensor, probs: Tensor) -> Tensor:
    """How many standard deviations each count is from its mean; 1 more, where hardly any come."""
    total, probs = counts.sum(), probs.double()
    return (counts - total * probs).abs() / (total * probs * (1 - probs) + 1).sqrt()


def wrong_shares(logits: Tensor, temperature: float) -> dict[str, Callable[[], Tensor]]:
    """The distributions of usual slips for one row of logits."""
    logits, vocab = logits.double(), len(logits)
    probs = (logits / temperature).softmax(-1)
    return {
        "Are the logits multiplied by temperature? They are divided by it.": lambda: (
            logits * temperature
        ).softmax(-1),
        "Where does temperature come in?": lambda: logits.softmax(-1),
        "Is the best token always taken, as for temperature 0, or is temperature made a whole "
        "number?": lambda: torch.eye(vocab, dtype=torch.float64)[logits.argmax()],
        "Are all tokens as likely as each other?": lambda: torch.full_like(logits, 1 / vocab),
        "Is the softmax taken before temperature comes in, or twice?": lambda: (
            logits.softmax(-1) / temperature
        ).softmax(-1),
        "Is a softmax taken of probabilities?": lambda: probs.softmax(-1),
        "Are only the best few drawn from? Every token has its share.": lambda: _kept(
            probs, counts=2
        ),
    }


def _kept(probs: Tensor, counts: int) -> Tensor:
    best = probs.topk(min(counts, len(probs)))
    return torch.zeros_like(probs).scatter(0, best.indices, best.values / best.values.sum())


def slips_of_bounds(scores: Tensor, temperature: float) -> dict[str, Callable[[], Tensor]]:
    """The distributions of one row of logits where high temperatures are lowered."""
    return {
        f"Is the temperature held below {bound}? It may be any number.": partial(
            torch.softmax, scores.double() / bound, -1
        )
        for bound in (2, 5, 10)
        if bound < temperature
    }


def slip_of_normal_noise(scores: Tensor, temperature: float) -> dict[str, Callable[[], Tensor]]:
    """The distribution of the largest logit once each has normal noise of its own."""

    def shares() -> Tensor:
        noise = torch.linspace(-8, 8, 4001, dtype=torch.float64)[:, None, None]
        apart = (scores.double()[:, None] - scores.double()) / temperature  # of i from each j
        below = torch.special.log_ndtr(noise + apart) * (1 - torch.eye(len(scores)))
        weights = (below.sum(dim=-1) - noise[:, 0] ** 2 / 2).exp().sum(dim=0)
        return weights / weights.sum()

    return {"Is normal noise added to the logits? Only Gumbel noise draws by the softmax.": shares}
