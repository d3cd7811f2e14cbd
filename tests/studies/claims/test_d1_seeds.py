"""What D1 claims of training, over seeds."""


def test_the_loss_goes_down_by_a_third(row) -> None:
    for model in (row["MoE"], row["dense"]):
        assert model["last"] < 0.67 * model["first"]


def test_moe_and_dense_of_equal_active_width_end_close_together(row) -> None:
    """At this size and after 150 steps neither wins: the gap is small whatever the seed."""
    assert abs(row["MoE"]["held_out"] - row["dense"]["held_out"]) < 0.2


def test_some_experts_get_more_traffic_than_random_routing_sends(row) -> None:
    assert min(row["cvs"]) > 2 * row["chance_cv"]
