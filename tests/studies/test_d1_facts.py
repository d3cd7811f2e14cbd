"""Where a mixture wins and where it gains nothing: what D1 says, on every seed."""

import pytest

MARGIN = 0.02


def recalled(row, name: str) -> float:
    return row["models"][name]["recalled"]


@pytest.mark.parametrize("rival", ["dense, equal active", "dense, equal time"])
def test_the_mixture_recalls_more_than_dense_models_of_its_active_size(row, rival) -> None:
    assert recalled(row, "mixture") > recalled(row, rival) + MARGIN


def test_the_dense_model_of_equal_total_size_is_at_least_as_good(row) -> None:
    assert recalled(row, "dense, equal total") >= recalled(row, "mixture")


def test_more_experts_recall_more(row) -> None:
    four, eight, _, most = (found["recalled"] for found in row["experts"])
    assert four < eight < most


def test_most_of_the_gain_needs_no_trained_router(row) -> None:
    gain = recalled(row, "mixture") - recalled(row, "dense, equal active")
    assert row["frozen router"]["recalled"] - recalled(row, "dense, equal active") > gain / 2


def test_a_lone_expert_is_worse_than_two(row) -> None:
    alone, two, *_ = (found["recalled"] for found in row["top_k"])
    assert alone < two - MARGIN


def test_a_rule_is_found_by_all(row) -> None:
    assert min(row["rules"].values()) > 0.95


def test_on_text_the_gap_is_small(row) -> None:
    assert abs(row["text"]["mixture"] - row["text"]["dense, equal active"]) < 0.1
