"""What D3 claims of a smaller cache: latents lose less than heads that share, at the same size."""


def more(row, name: str, when: str = "tuned") -> float:
    """How much more loss than that of the model with all its heads, trained on as well."""
    return row[name][when] - row["8 heads"][when]


def test_a_latent_loses_less_than_merged_heads_of_the_same_cache(row) -> None:
    """64, 128 and 256 numbers per token and layer; a head keeps 64."""
    for heads, latent in (("1 heads", "latent 64"), ("2 heads", "latent 128")):
        for when in ("converted", "tuned"):
            assert more(row, latent, when) < 0.5 * more(row, heads, when)


def test_fewer_numbers_lose_more(row) -> None:
    for family in (
        [f"latent {width}" for width in (128, 64, 32, 16)],
        [f"{heads} heads" for heads in (8, 4, 2, 1)],
    ):
        losses = [row[name]["converted"] for name in family]
        assert losses == sorted(losses)


def test_latents_that_know_nothing_of_the_model_lose_most_at_their_size(row) -> None:
    assert more(row, "independent latents") > 2 * more(row, "latent 64")
