"""What D3 claims of a converted attention, over seeds."""

WANTED = 0.95


def test_an_eighth_of_the_cache_keeps_the_output_if_the_activations_choose(row) -> None:
    """In every layer, on documents that neither the model nor the latents were fitted to."""
    methods = ("weights' SVD", "PCA", "joint", "uniform attention")
    worst = {name: min(row[name]) for name in methods}
    assert worst["weights' SVD"] < WANTED < worst["PCA"] <= worst["joint"]
    assert all(abs(cosine) < 0.3 for cosine in row["independent"])
    assert worst["uniform attention"] < worst["weights' SVD"]
