"""Times side by side: every call runs as often, and in turn."""

import pytest

from helpers.measuring.timing import median_milliseconds


def test_calls_run_in_turn_after_one_to_warm_up() -> None:
    seen = []
    calls = {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}
    times = median_milliseconds(calls, turns=3)
    assert seen == ["a", "b"] * 4
    assert set(times) == {"a", "b"}
    assert min(times.values()) >= 0


def test_no_turns_are_refused() -> None:
    with pytest.raises(ValueError, match="turns must be at least 1, got 0"):
        median_milliseconds({}, turns=0)
