"""What D1.4a and D1.4b ask about a wrong count and about a wrong coefficient of variation."""

import re

import pytest

from checks import CHECKS
from checks.audit.known_mistakes import known_mistakes
from checks.grading.result import CheckFailed


def _always_zero(load):
    return 0.0


@pytest.mark.parametrize(
    ("exercise", "mistake", "told"),
    [
        ("D1.4a", "histogram_of_range", r"The counts are right, in other places"),
        ("D1.4a", "numbered_in_a_byte", r"There are \d{3} experts here"),
        ("D1.4a", "as_wide_as_the_largest", r"Here experts is of shape \(0, \d\), without a row"),
        ("D1.4b", "cv_squared", r"Is that its square: is the root taken"),
        ("D1.4b", "cv_divides_by_zero", r"must be 0\.0, and your code divides zero by zero"),
        ("D1.4b", _always_zero, r"Does the line that returns 0\.0 answer for every load\?"),
    ],
)
def test_a_mistake_is_told_with_what_it_does(exercise, mistake, told):
    answer = known_mistakes(exercise)[mistake] if isinstance(mistake, str) else mistake
    with pytest.raises(CheckFailed) as refused:
        CHECKS[exercise](answer, seed=20261301)
    assert re.search(told, str(refused.value))
