"""What D2 claims of balance against loss, and of what imbalance costs, over seeds."""

from statistics import fmean

from lessons import stored_studies
from tests.studies.d2_frontier import ALPHAS


def gained(row, name):
    """The held-out loss less that of the same seed without balancing."""
    return row["settings"][name]["loss"] - row["settings"]["none"]["loss"]


def balance(row, name):
    return fmean(row["settings"][name]["cv"])


def test_the_bias_is_more_even_than_every_switch_loss(row) -> None:
    assert balance(row, "bias 0.02") < min(balance(row, f"Switch {alpha}") for alpha in ALPHAS)
    assert balance(row, "bias 0.005") > balance(row, "Switch 0.3")


def test_it_costs_no_loss_and_strong_balancing_does(row) -> None:
    assert gained(row, "bias 0.02") < 0
    assert min(gained(row, "Switch 0.3"), gained(row, "bias 0.1")) > 0


def test_the_largest_step_costs_more_than_the_largest_alpha(row) -> None:
    assert gained(row, "bias 0.1") > gained(row, "Switch 0.3")


def test_mild_settings_lie_within_what_seeds_change() -> None:
    rows = stored_studies.rows("d2_frontier")
    mild = [
        fmean(gained(row, n) for row in rows) for n in ("Switch 0.01", "Switch 0.03", "bias 0.02")
    ]
    spread = max(gained(row, "bias 0.02") for row in rows) - min(
        gained(row, "bias 0.02") for row in rows
    )
    assert max(mild) - min(mild) < spread


def test_without_balancing_experts_die_and_devices_wait(row) -> None:
    none, bias = row["settings"]["none"], row["settings"]["bias 0.02"]
    assert sum(none["dead"]) >= 3 and sum(bias["dead"]) == 0
    assert fmean(of[1] for of in none["busiest"]) > 1.8
    assert fmean(of[1] for of in bias["busiest"]) < 1.15
    assert fmean(of[1] for of in none["dropped"]) > 0.2
    assert fmean(of[1] for of in bias["dropped"]) < 0.005


def test_chance_alone_makes_devices_wait_a_little(row) -> None:
    (of,) = row["chance"]["busiest"]
    assert 1.05 < of[1] < 1.15


def test_a_batch_of_one_domain_is_not_balanced(row) -> None:
    domains = row["three domains"]
    mixed = domains["bias 0.02"]
    for name in ("prose", "code", "stories"):
        assert min(domains[name]["cv"]) > 2 * max(mixed["cv"])
        assert domains[name]["dropped"][1][1] > 3 * mixed["dropped"][1][1]


def test_domains_lie_apart_by_training_and_not_by_chance(row) -> None:
    apart = row["three domains"]["apart"]
    assert apart["trained"][1] > 1.2 > max(apart["untrained"])
    assert max(apart["shuffled"]) < 0.2


def test_the_shared_expert_buys_nothing_on_most_seeds() -> None:
    rows = stored_studies.rows("d2_frontier")
    better = [r["no shared, top-3"] < r["settings"]["bias 0.02"]["loss"] for r in rows]
    assert sum(better) == 2
