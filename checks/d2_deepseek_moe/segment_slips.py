"""What D2.2a and D2.2b ask of slices that came in a tuple, were changed or stand elsewhere."""

from collections.abc import Callable

from torch import Tensor

from checks.grading import expect


def called(answer: Callable, matrix: Tensor, num_segments: int) -> object:
    """What the answer returns; of a shape's index out of range it is asked which one is meant."""
    ask = "A shape of two dimensions has the numbers 0 and 1: which one is asked for?"
    with expect.asking(ask, "tuple index out of range"):
        return answer(matrix, num_segments)


def expect_no_tuple(got: object, wanted: str) -> None:
    """Raise Wrong at several tensors of one shape: what cuts a tensor returns them."""
    parts = got if isinstance(got, tuple) else ()
    shapes = {part.shape if isinstance(part, Tensor) else None for part in parts}
    expect.require(
        len(parts) < 2 or None in shapes or len(shapes) > 1,
        f"{wanted}, got {expect.shown(got)}",
        "Is it the tuple that `chunk`, `split` or `unbind` gives, where `torch.stack` or "
        "`torch.cat` makes one tensor of it?",
    )


def other_order(got: Tensor, want: Tensor, order: str) -> dict[str, Callable[[], Tensor]]:
    """The question about numbers that are not those that came in, or not at their places."""
    got, want = got.detach(), want.detach()
    same = expect.near(got.flatten().sort().values, want.flatten().sort().values)
    scaled = want * (got * want).sum() / (want * want).sum()
    if same:
        return {order: lambda: got}
    if expect.near(got, scaled):
        return {"Are the numbers left as they are, and not scaled?": lambda: got}
    return {"Does every number come through once, as it was?": lambda: got}


def why_turned(name: str, matrix: Tensor, otherwise: str) -> str:
    """The question about numbers in the order of the columns; so they lie in memory if strided."""
    if matrix.is_contiguous():
        return otherwise
    return f"{name} is not contiguous: is it read as it is indexed, and not as it lies in memory?"
