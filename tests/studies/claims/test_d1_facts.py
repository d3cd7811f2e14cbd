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


def test_the_gain_needs_no_trained_router(row) -> None:
    assert row["frozen router"]["recalled"] > recalled(row, "mixture") - MARGIN


def test_a_lone_expert_is_worse_than_two_and_better_than_a_dense_network(row) -> None:
    alone, two, *_ = (found["recalled"] for found in row["top_k"])
    assert recalled(row, "dense, equal active") + MARGIN < alone < two - MARGIN


def test_a_rule_is_found_by_all(row) -> None:
    assert min(row["rules"].values()) > 0.95


def test_on_text_the_gain_is_small(row) -> None:
    assert 0 < row["text"]["dense, equal active"] - row["text"]["mixture"] < 0.1


def test_the_dense_model_of_equal_time_had_more_of_it(row) -> None:
    longer, mixture = row["models"]["dense, equal time"], row["models"]["mixture"]
    assert 1.5 * longer["ms"] > mixture["ms"]
