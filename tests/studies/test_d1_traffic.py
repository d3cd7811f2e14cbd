"""Experts specialise by domain: a claim that untrained routers and shuffled domains fail."""

SPECIALISED = 0.8


def test_trained_routers_tell_the_domains_apart(row) -> None:
    assert min(row["trained"]["all tokens"]) >= SPECIALISED


def test_untrained_ones_do_not_so_far(row) -> None:
    assert max(row["untrained"]["all tokens"]) < SPECIALISED


def test_shuffled_domains_are_alike(row) -> None:
    assert max(row["trained"]["domains shuffled"]) < SPECIALISED / 2


def test_not_only_because_domains_have_different_words(row) -> None:
    pairs = zip(
        row["trained"]["tokens of every domain"],
        row["untrained"]["tokens of every domain"],
        strict=True,
    )
    assert all(trained > untrained for trained, untrained in pairs)
