"""Every check of a lesson answers every hostile value in one short message."""

from tests.lessons.hostile import EVERY, GIVEN, OWN, RAISED, RETURNED, answering, raising, refused


@EVERY
def test_whatever_is_returned(check, subtests):
    for title, value in RETURNED.items():
        with subtests.test(title):
            failed = refused(check, answering(check, lambda *parts, value=value: value))
            assert failed.state in ("wrong", "raised")
            if failed.state == "raised":  # the value itself raised, in the learner's own line
                assert any(f"in {name}: " in failed.lines[0] for name in OWN)
            if value is None:
                assert "got None. Did you forget a `return`?" in failed.message


@EVERY
def test_whatever_is_raised(check, subtests):
    for title, error in RAISED.items():
        with subtests.test(title):
            failed = refused(check, answering(check, raising(error)))
            assert failed.state == "raised", failed.message
            name = "RecursionError" if error is None else type(error).__name__
            assert failed.message.startswith(f"your code raised {name}")
            assert "in fail: " in failed.lines[0]


@EVERY
def test_whatever_is_given_to_the_check(check, subtests):
    for title, given in GIVEN.items():
        with subtests.test(title):
            assert refused(check, given).state in ("wrong", "raised")
