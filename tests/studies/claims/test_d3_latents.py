"""What D3 claims of a smaller cache: latents lose less than heads that share, at the same size."""

from course import ROOT
from lessons import stored_studies as stored


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


def test_the_lessons_words_hold_in_every_seed(row) -> None:
    assert 0.4 < more(row, "1 heads") < 0.7
    assert more(row, "latent 64") <= 0.0205
    assert more(row, "latent 16") < 0.1
    assert more(row, "independent latents") > 1


def test_readme_has_the_stored_figures() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("latent 64", "1 heads"):
        assert ", ".join(f"{more(row, name):.3f}" for row in stored.rows("d3_latents")) in readme
