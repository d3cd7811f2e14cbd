"""The options of DeepSeek's router, and which of them go together."""


def validate_router(
    num_experts: int, top_k: int, affinity: str, num_groups: int, top_groups: int
) -> None:
    """Raises a ValueError about the first bad option unless they make a router.

    `top_k` experts are chosen in the `top_groups` best of `num_groups` groups, of at least 2 each.
    """
    if affinity not in ("sigmoid", "softmax"):
        raise ValueError(f'affinity must be "sigmoid" or "softmax", got {affinity!r}')
    if not 1 <= top_k <= num_experts:
        raise ValueError(f"top_k must be between 1 and num_experts={num_experts}, got {top_k}")
    if not 1 <= top_groups <= num_groups:
        raise ValueError(
            f"top_groups must be between 1 and num_groups={num_groups}, got {top_groups}"
        )
    if num_groups > 1 and (num_experts % num_groups or num_experts // num_groups < 2):
        raise ValueError(
            f"num_groups must divide num_experts={num_experts} into groups of at least 2, "
            f"got {num_groups}"
        )
    if top_k > num_experts // num_groups * top_groups:
        raise ValueError(
            f"top_k must fit in the {top_groups} groups kept, which hold "
            f"{num_experts // num_groups * top_groups} experts, got {top_k}"
        )
