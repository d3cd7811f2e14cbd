"""Wrong answers to D4.3c sample: which tokens, temperatures and random numbers are left out."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.sample.steps import probabilities, refuse_negative


def drawn_from(probs, kept):
    """One draw a row, among the tokens that are kept."""
    return torch.multinomial(probs * kept, 1).squeeze(-1)


@wrong
def min_p(logits, temperature):
    """Tokens less than a hundredth as likely as the best are left out."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs = probabilities(logits, temperature)
    return drawn_from(probs, probs >= 0.01 * probs.amax(dim=-1, keepdim=True))


@wrong
def top_50(logits, temperature):
    """Among the fifty best, as many libraries do unless told otherwise."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs = probabilities(logits, temperature)
    least = probs.topk(min(50, probs.shape[-1])).values[:, -1:]
    return drawn_from(probs, probs >= least)


@wrong
def nucleus_of_95(logits, temperature):
    """Top-p with p = 0.95."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs, tokens = probabilities(logits, temperature).sort(dim=-1, descending=True)
    rank = drawn_from(probs, probs.cumsum(dim=-1) - probs <= 0.95)
    return tokens.gather(1, rank[:, None]).squeeze(-1)


@wrong
def seeds_torch(logits, temperature):
    """torch.manual_seed at each call."""
    torch.manual_seed(42)
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1).squeeze(-1)


@wrong
def top_200(logits, temperature):
    """Among the two hundred best, as nanoGPT does unless told otherwise."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs = probabilities(logits, temperature)
    least = probs.topk(min(200, probs.shape[-1])).values[:, -1:]
    return drawn_from(probs, probs >= least)


@wrong
def nucleus_of_99(logits, temperature):
    """Top-p with p = 0.99."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs, tokens = probabilities(logits, temperature).sort(dim=-1, descending=True)
    rank = drawn_from(probs, probs.cumsum(dim=-1) - probs <= 0.99)
    return tokens.gather(1, rank[:, None]).squeeze(-1)


@wrong
def whole_numbers_are_greedy(logits, temperature):
    """The best for every temperature that is an int, 1 as well as 0."""
    if isinstance(temperature, int) or refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1).squeeze(-1)


@wrong
def greedy_below_a_tenth(logits, temperature):
    """The best for every temperature below 0.1."""
    if refuse_negative(temperature) < 0.1:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1).squeeze(-1)


@wrong
def never_above_five(logits, temperature):
    """Temperatures above 5 are lowered to 5."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, min(temperature, 5.0)), 1).squeeze(-1)


_own = torch.Generator().manual_seed(0)


@wrong
def own_generator(logits, temperature):
    """A generator of its own, made once: torch.manual_seed repeats no draw."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1, generator=_own).squeeze(-1)
