"""D4.3c sample, answered rightly, and wrongly about temperature; all refuse one below 0."""

import torch
from torch.distributions import Categorical

from checks.answers.bank import Bank

bank = Bank("d4_deepseek")


def probabilities(logits, temperature):
    """softmax(logits / temperature); a ValueError below 0."""
    return (logits / refuse_negative(temperature)).softmax(dim=-1)


def refuse_negative(temperature):
    """The temperature itself; a ValueError below 0."""
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, got {temperature}")
    return temperature


def drawn(probs):
    """One draw a row."""
    return torch.multinomial(probs, 1).squeeze(-1)


@bank.right("D4.3c")
def row_by_row(logits, temperature):
    """A loop over the rows, one multinomial each."""
    refuse_negative(temperature)
    tokens = []
    for row in logits:
        if temperature == 0:
            tokens.append(int(row.argmax()))
        else:
            probs = torch.softmax(row / temperature, dim=0)
            tokens.append(torch.multinomial(probs, num_samples=1).item())
    return torch.tensor(tokens, device=logits.device)


@bank.right("D4.3c")
def categorical(logits, temperature):
    """torch.distributions.Categorical; the best by max."""
    if not refuse_negative(temperature):
        return logits.max(dim=1).indices
    return Categorical(logits=logits / temperature).sample()


@bank.right("D4.3c")
def gumbel(logits, temperature):
    """Logits plus temperature times Gumbel noise, and the best of them: no case for 0."""
    noise = -torch.empty_like(logits).exponential_().log()
    return (logits + refuse_negative(temperature) * noise).argmax(dim=-1)


@bank.right("D4.3c")
def exponential_race(logits, temperature):
    """Probabilities over exponential noise, and the best of them."""
    if refuse_negative(temperature) == 0:
        return torch.argmax(logits, -1)
    probs = probabilities(logits, temperature)
    return (probs / torch.empty_like(probs).exponential_(1)).argmax(dim=-1)


@bank.right("D4.3c")
def running_sum(logits, temperature):
    """A uniform number for each row, looked up in the running sum."""
    if refuse_negative(temperature) == 0:
        return logits.topk(1).indices[:, 0]
    upto = probabilities(logits.double(), temperature).cumsum(dim=-1)
    uniform = torch.rand(len(logits), 1, dtype=upto.dtype) * upto[:, -1:]
    return (upto <= uniform).sum(dim=-1).clamp(max=logits.shape[1] - 1)


@bank.right("D4.3c")
def sorted_and_back(logits, temperature):
    """Drawn among the sorted logits, then taken back to the token."""
    values, tokens = logits.sort(dim=-1, descending=True)
    if refuse_negative(temperature) == 0:
        return tokens[:, 0]
    rank = torch.multinomial(probabilities(values, temperature), 1)
    return tokens.gather(1, rank).flatten()


@bank.wrong("D4.3c")
def multiplied(logits, temperature):
    """Logits times temperature."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn((logits * temperature).softmax(dim=-1))


@bank.wrong("D4.3c")
def ignored(logits, temperature):
    """The temperature matters at 0 alone."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(logits.softmax(dim=-1))


@bank.wrong("D4.3c")
def divided_after_softmax(logits, temperature):
    """Probabilities over temperature: multinomial scales them back."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(logits.softmax(dim=-1) / temperature)


@bank.wrong("D4.3c")
def power_not_root(logits, temperature):
    """Probabilities to the power of temperature, not of 1 over it."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    return drawn(logits.softmax(dim=-1) ** temperature)


@bank.wrong("D4.3c")
def noise_cooled_too(logits, temperature):
    """Logits and Gumbel noise both over temperature: it cancels."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=-1)
    noise = -torch.empty_like(logits).exponential_().log()
    return ((logits + noise) / temperature).argmax(dim=-1)


@bank.wrong("D4.3c")
def normal_noise(logits, temperature):
    """Normal noise in place of Gumbel noise."""
    noise = torch.randn_like(logits)
    return (logits + refuse_negative(temperature) * noise).argmax(dim=-1)


@bank.wrong("D4.3c")
def greedy(logits, temperature):
    """Always the best."""
    refuse_negative(temperature)
    return logits.argmax(dim=-1)


@bank.wrong("D4.3c")
def greedy_when_cool(logits, temperature):
    """The best for every temperature below 1."""
    if refuse_negative(temperature) < 1:
        return logits.argmax(dim=-1)
    return drawn(probabilities(logits, temperature))


@bank.wrong("D4.3c")
def no_case_for_zero(logits, temperature):
    """Divides by 0: a RuntimeError about NaN."""
    return drawn(probabilities(logits, temperature))


@bank.wrong("D4.3c")
def drawn_at_zero(logits, temperature):
    """Temperature 0 is taken for none: drawn by softmax(logits)."""
    return drawn(probabilities(logits, refuse_negative(temperature) or 1.0))


@bank.wrong("D4.3c")
def never_below_a_tenth(logits, temperature):
    """Temperatures below 0.1 are raised to 0.1, 0 too."""
    return drawn(probabilities(logits, max(refuse_negative(temperature), 0.1)))


@bank.wrong("D4.3c")
def floored_far_down(logits, temperature):
    """0.001 for 0: a draw where the best tokens are nearly alike."""
    return drawn(probabilities(logits, max(refuse_negative(temperature), 1e-3)))


@bank.wrong("D4.3c")
def shifted_from_zero(logits, temperature):
    """A millionth is added to every temperature, so that nothing is divided by 0."""
    return drawn(probabilities(logits, refuse_negative(temperature) + 1e-6))


@bank.wrong("D4.3c")
def worst_at_zero(logits, temperature):
    """argmin at 0."""
    if refuse_negative(temperature) == 0:
        return logits.argmin(dim=-1)
    return drawn(probabilities(logits, temperature))


@bank.wrong("D4.3c")
def best_of_the_column(logits, temperature):
    """The best at 0 is looked for over the batch."""
    if refuse_negative(temperature) == 0:
        return logits.argmax(dim=0)[: len(logits)]
    return drawn(probabilities(logits, temperature))


@bank.wrong("D4.3c")
def value_at_zero(logits, temperature):
    """The best logit at 0, not its token."""
    if refuse_negative(temperature) == 0:
        return logits.max(dim=-1).values
    return drawn(probabilities(logits, temperature))
