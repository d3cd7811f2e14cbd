"""What attention must bear beyond small cases: many positions, and scores of some thousands."""

from collections.abc import Callable

from torch import Tensor

from checks.grading.expect import require
from checks.grading.result import Asked, Wrong

LONG = 130  # positions: more than a mask of a fixed, small size has
STEEP = 1000.0  # times a query: exp of such scores is infinite, and masks of -50 hide nothing
ASK_LENGTH = "Is a mask made for a fixed number of positions, and not for the L and S that came?"
ASK_HIDDEN = "Are later positions hidden by -inf, and not by a number that scores can fall below?"


def of_long(run: Callable[[], Tensor]) -> Tensor:
    """What `run` returns of LONG positions; raises Wrong where those end in an exception."""
    try:
        return run()
    except (Wrong, Asked):
        raise
    except Exception as error:
        raised = f"{LONG} positions must go in, and they end in {type(error).__name__}"
        raise Wrong(f"{raised}. {ASK_LENGTH}") from None


def expect_finite(y: object, when: str) -> None:
    """Raise Wrong if a tensor of steep scores holds NaN or infinity."""
    require(
        not isinstance(y, Tensor) or y.isfinite().all(),
        f"the output must be finite {when}, got NaN or infinity",
        "exp of a large score is infinite. Is a row's largest taken off first, as softmax does?",
    )
