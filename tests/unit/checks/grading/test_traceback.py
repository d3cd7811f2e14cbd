"""Where an error came from, and what it says, whatever its text does."""

import pytest

from checks.grading import traceback


def raised(function) -> BaseException:
    with pytest.raises(BaseException) as info:
        function()
    return info.value


def fails_late():
    total = 1
    return total / 0


def test_the_line_shown_is_the_one_that_raised():
    first = fails_late.__code__.co_firstlineno
    wanted = f"line {first + 2}, in fails_late: return total / 0"
    assert traceback.place(raised(fails_late)) == wanted


@pytest.mark.parametrize("odd", [RuntimeError("no"), SystemExit(1), GeneratorExit()])
def test_an_error_whose_text_cannot_be_read_is_named_all_the_same(odd):
    class Mute(Exception):
        def __str__(self):
            raise odd

    assert traceback.sentence(Mute()) == "Mute: (its message could not be read)"
