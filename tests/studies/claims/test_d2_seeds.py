"""What D2 claims of balance and of the cuts, over seeds."""

from tests.studies.d2_seeds import STEP


def test_cv_is_below_a_tenth_with_the_bias_and_not_without(row) -> None:
    assert max(row["cvs"]) < 0.1 < min(row["cvs_without_bias"])


def test_the_bias_settles(row) -> None:
    """No move is above the step, and a centred bias ranges less late than midway."""
    middle, last = row["bias_ranges"]
    assert row["largest_move"] <= STEP * 1.001
    assert last < middle


def test_one_budget_cut_three_ways(row) -> None:
    """Whatever they are: the losses stand beside each other, none is far from the others."""
    losses = row["held_out"].values()
    assert max(losses) - min(losses) < 0.5
