"""README's figures of the seed studies are those that are stored."""

from collections.abc import Callable

import pytest

from course import ROOT
from lessons import stored_studies as stored

README = (ROOT / "README.md").read_text(encoding="utf-8")


def listed(study: str, read: Callable[[stored.Row], float]) -> str:
    """What `read` takes from each seed's row, with three decimals."""
    return ", ".join(f"{read(row):.3f}" for row in stored.rows(study))


def worst(method: str) -> str:
    """The lowest and the highest, over seeds, of the method's cosine in its worst layer."""
    cosines = [min(row[method]) for row in stored.rows("d3_seeds")]
    return f"{min(cosines):.3f}-{max(cosines):.3f}"


KINDS = ["mixture", "dense, equal active", "dense, equal time", "dense, equal total"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_recalled_of_the_facts(kind) -> None:
    assert listed("d1_facts", lambda row: row["models"][kind]["recalled"]) in README


@pytest.mark.parametrize("model", ["mixture", "dense"])
@pytest.mark.parametrize("figure", ["coherent", "held_out"])
def test_each_models_stories_and_loss(model, figure) -> None:
    assert listed("d4_seeds", lambda row: row[model][figure]) in README


def test_the_balance_of_the_mixture() -> None:
    highest = max(max(row["mixture"]["cvs"]) for row in stored.rows("d4_seeds"))
    assert f"at most {highest:.3f}, seeds 0 to 2" in README


@pytest.mark.parametrize("method", ["joint", "PCA", "weights' SVD"])
def test_the_cosines_of_a_converted_attention(method) -> None:
    assert worst(method) in README


def test_the_agreement_in_bfloat16() -> None:
    pairs = ("ours, eager", "ours, sdpa")
    own = listed("d4_seeds", lambda row: min(row["bfloat16"]["agreement"][p] for p in pairs))
    theirs = listed("d4_seeds", lambda row: row["bfloat16"]["agreement"]["eager, sdpa"])
    assert f"{own} for seeds 0 to 2, where their two attentions agree in {theirs}" in README


def test_how_far_experts_tell_texts_apart() -> None:
    rows = stored.rows("d1_traffic")
    trained = [row["trained"]["all tokens"] for row in rows]
    before = max(max(row["untrained"]["all tokens"]) for row in rows)
    mixed = max(row["trained"]["domains shuffled"][1] for row in rows)
    assert sum(layer_1 >= 0.8 for layer_1, _ in trained) == 2
    assert min(layer_2 for _, layer_2 in trained) >= 1.3
    assert f"at most {before:.2f} before, {mixed:.2f} with the kinds shuffled" in README
