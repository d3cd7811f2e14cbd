"""What answers to D2.3c update_bias are built from."""


def missing(load):
    """How far each expert is under the mean load."""
    return load.double().mean() - load
