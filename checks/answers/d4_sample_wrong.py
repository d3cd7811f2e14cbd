"""D4.3c sample, answered wrongly: which distribution, which draw, which shape."""

import torch

from checks.answers.bank import Bank
from checks.answers.d4_sample import drawn, probabilities, refuse_negative

bank = Bank("d4_deepseek")


@bank.wrong("D4.3c")
def softmax_over_the_batch(logits, temperature):
    """softmax over the rows."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn((logits / temperature).softmax(dim=0))


@bank.wrong("D4.3c")
def softmax_twice(logits, temperature):
    """The softmax of a softmax: almost even."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits, temperature).softmax(dim=-1))


@bank.wrong("D4.3c")
def exponentials_by_hand(logits, temperature):
    """exp without the maximum taken off: it overflows at low temperatures."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    powers = (logits / temperature).exp()
    return drawn(powers / powers.sum(dim=-1, keepdim=True))


@bank.wrong("D4.3c")
def logits_as_weights(logits, temperature):
    """Logits, cut off at 0, in place of probabilities."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn((logits / temperature).clamp(min=1e-3))


@bank.wrong("D4.3c")
def uniform(logits, temperature):
    """Every token with the same probability."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.randint(logits.shape[1], logits.shape[:1])


@bank.wrong("D4.3c")
def among_the_best_two(logits, temperature):
    """Top-k with k = 2."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    worst_kept = logits.topk(2, dim=-1).values[:, -1:]
    return drawn(probabilities(logits.masked_fill(logits < worst_kept, -torch.inf), temperature))


@bank.wrong("D4.3c")
def nucleus(logits, temperature):
    """Top-p with p = 0.9: the tail is never drawn."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    probs, tokens = probabilities(logits, temperature).sort(dim=-1, descending=True)
    probs = probs.masked_fill(probs.cumsum(dim=-1) - probs > 0.9, 0.0)
    return tokens.gather(1, torch.multinomial(probs, 1)).squeeze(-1)


@bank.wrong("D4.3c")
def rank_not_token(logits, temperature):
    """Drawn among the sorted logits: the rank comes back."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits.sort(dim=-1, descending=True).values, temperature))


@bank.wrong("D4.3c")
def one_draw_for_all(logits, temperature):
    """The first row's draw for every row."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits[:1], temperature)).expand(len(logits))


@bank.wrong("D4.3c")
def first_distribution_for_all(logits, temperature):
    """Every row drawn by the first row's probabilities."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature)[0], len(logits), replacement=True)


@bank.wrong("D4.3c")
def one_uniform_for_all(logits, temperature):
    """The running sum, and the same uniform number for every row."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    upto = probabilities(logits, temperature).cumsum(dim=-1)
    return (upto < torch.rand(1).to(upto)).sum(dim=-1).clamp(max=logits.shape[1] - 1)


@bank.wrong("D4.3c")
def seeded(logits, temperature):
    """The same seed at each call: the same draws again and again."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    generator = torch.Generator(logits.device).manual_seed(0)
    return torch.multinomial(probabilities(logits, temperature), 1, generator=generator)[:, 0]


@bank.wrong("D4.3c")
def column(logits, temperature):
    """The draws as (B, 1)."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1, keepdim=True)
    return torch.multinomial(probabilities(logits, temperature), 1)


@bank.wrong("D4.3c")
def column_unless_greedy(logits, temperature):
    """(B,) at temperature 0, (B, 1) above."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1)


@bank.wrong("D4.3c")
def squeezed_too_far(logits, temperature):
    """`squeeze()` of everything: one row gives a tensor without dimensions."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return torch.multinomial(probabilities(logits, temperature), 1).squeeze()


@bank.wrong("D4.3c")
def divided_in_place(logits, temperature):
    """`/=`: the caller's logits change."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    logits /= temperature
    return drawn(logits.softmax(dim=-1))
