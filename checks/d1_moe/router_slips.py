"""What slips of a router make, so that a refusal can ask about the one it sees."""

import torch
from torch import Tensor

from checks.grading import expect


def gate_slips(probs: Tensor, logits: Tensor, x: Tensor) -> dict[str, Tensor]:
    """Other affinities `(T, K)` of the chosen experts, by the question they call for."""
    d_model, lengths = x.shape[1], x.norm(dim=-1, keepdim=True)
    apart = "Does each gate stand in the slot of its own expert?"
    return {
        "Do all chosen experts get the same gate?": torch.ones_like(probs),
        "Is the root of each probability taken, or half the logit? The softmax is of W x itself.": (
            probs.sqrt()
        ),
        "Are the probabilities squared, or the logits doubled? The softmax is of W x itself.": (
            probs.square()
        ),
        "Does a softmax run over the probabilities once more?": probs.exp(),
        "Is it a sigmoid where the softmax belongs?": logits.sigmoid(),
        "Are the logits divided by their sum, without a softmax?": logits,
        "Is it the softmax that is divided, and not its logarithm?": probs.log(),
        apart: probs.flip(-1),
        f"{apart} (The largest stands first.)": probs.sort(dim=-1, descending=True).values,
        "Are the logits divided by sqrt(d_model)? The softmax is of W x itself.": (
            logits / d_model**0.5
        ).exp(),
        "Is x brought to length 1 first? The softmax is of W x itself.": (logits / lengths).exp(),
    }


def why_other_sum(gates: Tensor, probs: Tensor) -> str:
    """The question about gates `(T, K)` that do not sum to 1 for each token.

    `probs` are the probabilities of the experts that they belong to.
    """
    total, top_k = probs.sum(-1, keepdim=True), gates.shape[1]
    slips = {
        "Every gate is 1: is each divided by itself, and not by the sum of the token's chosen?": (
            torch.ones_like(probs)
        ),
        "Those are the probabilities as they are: did you renormalise after top-k, by the sum of "
        "the chosen alone?": probs,
        "Are they divided by their sum, and not multiplied by it?": probs * total,
    }
    for ask, slip in slips.items():
        if expect.near(gates, slip):
            return ask
    if top_k > 1 and expect.near(gates.amax(-1), torch.ones(len(gates))):
        return "Are they divided by the largest of them, and not by their sum?"
    if expect.near(gates.sum(-1), torch.ones(len(gates)), 0.02):
        return "Is a constant added to the sum that divides?"
    if gates.sum(-1).max() > 1 + expect.BOUND or gates.min() < 0:
        return (
            "A token's probabilities sum to 1 at most, and none is below 0: does a softmax make "
            "them, and what divides the chosen ones?"
        )
    return "Are the chosen divided by their own sum, and is nothing done to them after that?"


def why_not_alone(experts: Tensor, num_experts: int) -> str:
    """The question about gates that change with the other tokens; `experts` `(T, K)` as chosen."""
    chosen = experts.sort(dim=-1).values
    if experts.shape[1] < num_experts and len(chosen) > 1 and (chosen == chosen[0]).all():
        return (
            f"All tokens together chose {chosen[0].tolist()}: is each token's choice made from its "
            "own row of probabilities?"
        )
    return (
        "What makes it depend on the other tokens: a softmax, topk, sum or mean over dimension 0, "
        "their number, or the token's place among them?"
    )


def expect_same_gates(first: Tensor, then: Tensor, where: str, when: str, ask: str) -> None:
    """Raise Wrong unless the gates `(T, E)` of the same tokens are the same in both calls.

    `where` and `when` say in which call each was made; the last token is the last in both.
    """
    off = (first - then).abs()
    t, expert = divmod(int(off.argmax()), off.shape[1])
    one, other = expect.apart(float(first[t, expert]), float(then[t, expert]), 4)
    whose = "the last token's" if t == len(off) - 1 else f"token {t}'s"
    expect.require(
        expect.near(then, first),
        f"{whose} gate of expert {expert} is {one} {where} and {other} {when}, and it must be the "
        "same",
        ask,
    )
