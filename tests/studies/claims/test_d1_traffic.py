"""Experts specialise by domain: a claim that untrained routers and shuffled domains fail."""

SPECIALISED = 0.8


def test_a_trained_router_of_layer_2_tells_the_domains_apart(row) -> None:
    assert row["trained"]["all tokens"][1] >= SPECIALISED


def test_untrained_ones_do_not_so_far(row) -> None:
    assert max(row["untrained"]["all tokens"]) < SPECIALISED


def test_shuffled_domains_are_alike(row) -> None:
    assert max(row["trained"]["domains shuffled"]) < SPECIALISED / 2


def test_not_only_because_domains_have_different_words(row) -> None:
    of_layer_2 = row["trained"]["tokens of every domain"][1]
    assert of_layer_2 >= SPECIALISED > row["untrained"]["tokens of every domain"][1]
