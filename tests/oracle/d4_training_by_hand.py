"""Slow loops for D4.3 and D4.I2: loss, training, sampling, generation, worth of a part."""

import math
from fractions import Fraction

import torch

from solutions.d2_deepseek_moe import DeepSeekMoE
from tests.oracle.d1_moe import counted
from tests.oracle.d2_balance import choices_of_real_tokens, moved


def loss_by_hand(logits, targets, real):
    """The mean of minus log-probability, one marked target after the other."""
    losses = []
    for row, tokens, marks in zip(logits, targets.tolist(), real.tolist(), strict=True):
        for scores, token, is_real in zip(row, tokens, marks, strict=True):
            if is_real:
                below = scores - scores.max()
                losses.append(below.exp().sum().log() - below[token])
    return sum(losses) / len(losses)


def train_by_hand(model, batches, steps, lr, momentum):
    """Losses of descent with momentum on clipped gradients; weights and biases move in place."""
    weights, losses = list(model.parameters()), []
    speeds = [torch.zeros_like(weight) for weight in weights]
    for (ids, real), step in zip(batches, steps, strict=True):
        loss = loss_by_hand(model(ids[:, :-1]), ids[:, 1:], real[:, 1:])
        gradients = torch.autograd.grad(loss, weights)
        norm = math.sqrt(sum(number**2 for g in gradients for number in g.flatten().tolist()))
        with torch.no_grad():
            for weight, speed, gradient in zip(weights, speeds, gradients, strict=True):
                speed.mul_(momentum).add_(gradient / max(norm, 1.0))
                weight.sub_(lr * speed)
        for block in model.blocks:
            if type(block.ffn) is DeepSeekMoE:
                move_by_hand(block.ffn, [marks[:-1] for marks in real.tolist()], step)
        losses.append(loss.item())
    return losses


def move_by_hand(layer, real, step):
    experts, bias = layer.last_experts.tolist(), layer.router.bias
    load = counted(choices_of_real_tokens(experts, real, layer.num_segments), len(bias))
    bias.copy_(torch.tensor(moved(bias.tolist(), load, step)))


def probabilities(scores, temperature):
    powers = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def best_continuation(model, ids, n):
    """Each row with its best token behind it, n times."""
    text = ids.tolist()
    for _ in range(n):
        rows = model(torch.tensor(text))[:, -1].tolist()
        text = [[*tokens, row.index(max(row))] for tokens, row in zip(text, rows, strict=True)]
    return torch.tensor(text)


def chances_of_pairs(model, prompt, temperature):
    """The probability of each pair of tokens behind `prompt`."""
    chances = {}
    for token, chance in enumerate(next_chances(model, prompt, temperature)):
        for other, further in enumerate(next_chances(model, [*prompt, token], temperature)):
            chances[token, other] = chance * further
    return chances


def next_chances(model, tokens, temperature):
    return probabilities(model(torch.tensor([tokens]))[0, -1].tolist(), temperature)


def worth_by_hand(with_part, without):
    """Mean and standard error of the differences, as fractions up to the root."""
    pairs = zip(with_part.tolist(), without.tolist(), strict=True)
    saved = [Fraction(b) - Fraction(a) for a, b in pairs]
    mean = sum(saved) / len(saved)
    variance = sum((one - mean) ** 2 for one in saved) / (len(saved) - 1)
    return float(mean), math.sqrt(variance / len(saved))
