"""What answers to D1.1 TopKRouter are built from."""


def chosen(probs, top_k):
    """The top_k of each row, renormalised, and where they are."""
    gates, experts = probs.topk(top_k, dim=-1)
    return gates / gates.sum(dim=-1, keepdim=True), experts
