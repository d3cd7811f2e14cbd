"""Wrong answers to D4.3c sample: temperature, distribution, draw and shape."""

import torch

from checks.audit.answers import wrong
from checks.audit.bank.d4_deepseek.sample.steps import probabilities, refuse_negative


def drawn(probs):
    """One draw a row."""
    return torch.multinomial(probs, 1).squeeze(-1)


@wrong
def multiplied(logits, temperature):
    """Logits times temperature."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn((logits * temperature).softmax(dim=-1))


@wrong
def ignored(logits, temperature):
    """The temperature matters at 0 alone."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(logits.softmax(dim=-1))


@wrong
def divided_after_softmax(logits, temperature):
    """Probabilities over temperature: multinomial scales them back."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(logits.softmax(dim=-1) / temperature)


@wrong
def power_not_root(logits, temperature):
    """Probabilities to the power of temperature, not of 1 over it."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(logits.softmax(dim=-1) ** temperature)


@wrong
def noise_cooled_too(logits, temperature):
    """Logits and Gumbel noise both over temperature: it cancels."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    noise = -torch.empty_like(logits).exponential_().log()
    return ((logits + noise) / temperature).argmax(dim=-1)


@wrong
def normal_noise(logits, temperature):
    """Normal noise in place of Gumbel noise."""
    noise = torch.randn_like(logits)
    return (logits + refuse_negative(temperature) * noise).argmax(dim=-1)


@wrong
def greedy(logits, temperature):
    """Always the best."""
    refuse_negative(temperature)
    return logits.argmax(dim=-1)


@wrong
def greedy_when_cool(logits, temperature):
    """The best for every temperature below 1."""
    if refuse_negative(temperature) < 1:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits, temperature))


@wrong
def no_case_for_zero(logits, temperature):
    """Divides by 0: a RuntimeError about NaN."""
    return drawn(probabilities(logits, temperature))


@wrong
def drawn_at_zero(logits, temperature):
    """Temperature 0 is taken for none: drawn by softmax(logits)."""
    return drawn(probabilities(logits, refuse_negative(temperature) or 1.0))


@wrong
def never_below_a_tenth(logits, temperature):
    """Temperatures below 0.1 are raised to 0.1, 0 too."""
    return drawn(probabilities(logits, max(refuse_negative(temperature), 0.1)))


@wrong
def floored_far_down(logits, temperature):
    """0.001 for 0: a draw where the best tokens are nearly alike."""
    return drawn(probabilities(logits, max(refuse_negative(temperature), 1e-3)))


@wrong
def shifted_from_zero(logits, temperature):
    """A millionth is added to every temperature, so that nothing is divided by 0."""
    return drawn(probabilities(logits, refuse_negative(temperature) + 1e-6))


@wrong
def worst_at_zero(logits, temperature):
    """argmin at 0."""
    if refuse_negative(temperature) == 0:
        return logits.argmin(dim=-1)
    return drawn(probabilities(logits, temperature))


@wrong
def best_of_the_column(logits, temperature):
    """The best at 0 is looked for over the batch."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=0)[: len(logits)]
    return drawn(probabilities(logits, temperature))


@wrong
def value_at_zero(logits, temperature):
    """The best logit at 0, not its token."""
    if refuse_negative(temperature) == 0:
        return logits.max(dim=-1).values
    return drawn(probabilities(logits, temperature))


@wrong
def softmax_over_the_batch(logits, temperature):
    """softmax over the rows."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn((logits / temperature).softmax(dim=0))


@wrong
def softmax_twice(logits, temperature):
    """The softmax of a softmax: almost even."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits, temperature).softmax(dim=-1))


@wrong
def exponentials_by_hand(logits, temperature):
    """exp without the maximum taken off: it overflows at low temperatures."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    powers = (logits / temperature).exp()
    return drawn(powers / powers.sum(dim=-1, keepdim=True))


@wrong
def logits_as_weights(logits, temperature):
    """Logits, cut off at 0, in place of probabilities."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn((logits / temperature).clamp(min=1e-3))


@wrong
def uniform(logits, temperature):
    """Every token with the same probability."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.randint(logits.shape[1], logits.shape[:1])


@wrong
def among_the_best_two(logits, temperature):
    """Top-k with k = 2."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    worst_kept = logits.topk(2, dim=-1).values[:, -1:]
    return drawn(probabilities(logits.masked_fill(logits < worst_kept, -torch.inf), temperature))


@wrong
def nucleus(logits, temperature):
    """Top-p with p = 0.9: the tail is never drawn."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs, tokens = probabilities(logits, temperature).sort(dim=-1, descending=True)
    probs = probs.masked_fill(probs.cumsum(dim=-1) - probs > 0.9, 0.0)
    return tokens.gather(1, torch.multinomial(probs, 1)).squeeze(-1)


@wrong
def rank_not_token(logits, temperature):
    """Drawn among the sorted logits: the rank comes back."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits.sort(dim=-1, descending=True).values, temperature))


@wrong
def one_draw_for_all(logits, temperature):
    """The first row's draw for every row."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits[:1], temperature)).expand(len(logits))


@wrong
def first_distribution_for_all(logits, temperature):
    """Every row drawn by the first row's probabilities."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature)[0], len(logits), replacement=True)


@wrong
def one_uniform_for_all(logits, temperature):
    """The running sum, and the same uniform number for every row."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    upto = probabilities(logits, temperature).cumsum(dim=-1)
    return (upto < torch.rand(1).to(upto)).sum(dim=-1).clamp(max=logits.shape[1] - 1)


@wrong
def seeded(logits, temperature):
    """The same seed at each call: the same draws again and again."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    generator = torch.Generator(logits.device).manual_seed(0)
    return torch.multinomial(probabilities(logits, temperature), 1, generator=generator)[:, 0]


@wrong
def column(logits, temperature):
    """The draws as (B, 1)."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1, keepdim=True)
    return torch.multinomial(probabilities(logits, temperature), 1)


@wrong
def column_unless_greedy(logits, temperature):
    """(B,) at temperature 0, (B, 1) above."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1)


@wrong
def squeezed_too_far(logits, temperature):
    """`squeeze()` of everything: one row gives a tensor without dimensions."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1).squeeze()


@wrong
def divided_in_place(logits, temperature):
    """`/=`: the caller's logits change."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    logits /= temperature
    return drawn(logits.softmax(dim=-1))
