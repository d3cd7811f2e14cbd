"""What D2 claims of the leak, over seeds: where it hurts, and what always shows."""

import pytest

from lessons import stored_studies


def recall(row, router, setting):
    return row[router][setting]["recalled"]


def test_on_stories_no_harm_shows(row) -> None:
    right = next(r for r in stored_studies.rows("d2_frontier") if r["seed"] == row["seed"])
    for step, loss in row["leak on stories"].items():
        assert abs(loss - right["settings"][f"bias {step}"]["loss"]) < 0.03


def test_on_facts_a_large_step_harms_at_one_rate_and_not_at_the_other(row) -> None:
    assert 0.02 < recall(row, "right", "step 0.1") - recall(row, "leak", "step 0.1") < 0.05
    faster = "step 0.1, rate 0.022"
    assert recall(row, "leak", faster) > recall(row, "right", faster)


def test_a_small_step_harms_nothing(row) -> None:
    assert abs(recall(row, "right", "step 0.01") - recall(row, "leak", "step 0.01")) < 0.01


def test_only_the_leak_changes_gates_by_the_load_of_others(row) -> None:
    assert row["right"]["gates moved"]["most"] == 0.0
    assert row["leak"]["gates moved"]["mean"] > 0.005
    assert row["leak"]["gates moved"]["most"] > 0.04


@pytest.mark.parametrize("setting", ["step 0.01", "not renormalised"])
def test_only_the_leak_sees_a_common_shift(row, setting) -> None:
    right, leak = row["right"][setting], row["leak"][setting]
    assert right["shifted"] == right["recalled"]
    lost = leak["recalled"] - leak["shifted"]
    assert lost > (0.15 if setting == "not renormalised" else 0.01)
