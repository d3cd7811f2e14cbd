"""Which sizes of an attention go together."""


def validate_sizes(d_rope: int = 2, **sizes: int | None) -> None:
    """Raises a ValueError unless each size is at least 1 or None, and `d_rope` is even.

    RoPE rotates pairs of neighbours, so a rotary width is even.
    """
    for name, size in {"d_rope": d_rope, **sizes}.items():
        if size is not None and size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if d_rope % 2:
        raise ValueError(f"d_rope must be even, for pairs of neighbours, got {d_rope}")
