"""What D2.O1 asks where a busier expert's bias rises more."""

import pytest

from checks.audit.answers import answers_to
from checks.d2_deepseek_moe.balancing.steer import check_steer
from checks.grading.result import CheckFailed


def idle_stay(bias, load, batch):
    """Experts that nobody chose never move."""
    move = (load.double().mean() - load).sign() * (load > 0)
    return bias + 0.01 * move.to(bias.dtype)


MISTAKES = {answer.__name__: answer for answer in answers_to(check_steer).wrong}


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (MISTAKES["forgets_the_old_bias"], "does the new bias go on from the old one, as it is"),
        (MISTAKES["shrinks_only"], "the same for another load: where does the load come in"),
        (MISTAKES["starves_below_the_mean"], "Is the sign of the step that of the rows"),
        (MISTAKES["nothing_over_nothing"], "with no load at all the new bias must be finite"),
        (idle_stay, "Does an expert that nobody chose move too"),
    ],
)
def test_a_bias_that_rises_is_asked_about_by_what_it_depends_on(mistake, said):
    with pytest.raises(CheckFailed, match=said):
        check_steer(mistake, seed=0)
