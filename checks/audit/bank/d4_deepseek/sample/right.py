"""Right answers to D4.3c sample."""

import torch
from torch.distributions import Categorical

from checks.audit.answers import right
from checks.audit.bank.d4_deepseek.sample.steps import probabilities, refuse_negative


@right
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


@right
def categorical(logits, temperature):
    """torch.distributions.Categorical; the best by max."""
    if not refuse_negative(temperature):
        return logits.max(dim=1).indices
    return Categorical(logits=logits / temperature).sample()


@right
def gumbel(logits, temperature):
    """Logits plus temperature times Gumbel noise, and the best of them: no case for 0."""
    noise = -torch.empty_like(logits).exponential_().log()
    return (logits + refuse_negative(temperature) * noise).argmax(dim=-1)


@right
def exponential_race(logits, temperature):
    """Probabilities over exponential noise, and the best of them."""
    if refuse_negative(temperature) == 0:
        return torch.argmax(logits, -1)
    probs = probabilities(logits, temperature)
    return (probs / torch.empty_like(probs).exponential_(1)).argmax(dim=-1)


@right
def running_sum(logits, temperature):
    """A uniform number for each row, looked up in the running sum."""
    if refuse_negative(temperature) == 0:
        return logits.topk(1).indices[:, 0]
    upto = probabilities(logits.double(), temperature).cumsum(dim=-1)
    uniform = torch.rand(len(logits), 1, dtype=upto.dtype) * upto[:, -1:]
    return (upto <= uniform).sum(dim=-1).clamp(max=logits.shape[1] - 1)


@right
def sorted_and_back(logits, temperature):
    """Drawn among the sorted logits, then taken back to the token."""
    values, tokens = logits.sort(dim=-1, descending=True)
    if refuse_negative(temperature) == 0:
        return tokens[:, 0]
    rank = torch.multinomial(probabilities(values, temperature), 1)
    return tokens.gather(1, rank).flatten()


@right
def categorical_for_each_row(logits, temperature):
    """A Categorical of each row alone."""
    if refuse_negative(temperature) == 0:
        return torch.stack([row.argmax() for row in logits])
    return torch.stack([Categorical(logits=row / temperature).sample() for row in logits])
