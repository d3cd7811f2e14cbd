"""What answers to D4.3c sample are built from."""


def probabilities(logits, temperature):
    """softmax(logits / temperature); a ValueError below 0."""
    return (logits / refuse_negative(temperature)).softmax(dim=-1)


def refuse_negative(temperature):
    """The temperature itself; a ValueError below 0."""
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, got {temperature}")
    return temperature
