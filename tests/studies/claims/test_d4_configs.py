"""What D4 says of its open task, over seeds: what is more than luck."""

from statistics import mean

from checks.d4_deepseek.my_config import BUDGET, MOST
from checks.learner.open_tasks.d4_deepseek import SEED
from checks.learner.open_tasks.d4_deepseek import STEPS as MEASURED
from lessons import stored_studies as stored
from solutions.d4_deepseek import count_parameters
from tests.studies.d4_configs import CONFIGS, SEEDS, STEPS


def test_it_trains_what_the_measure_trains() -> None:
    assert STEPS == MEASURED
    assert SEED in SEEDS


def test_all_three_keep_to_the_budget() -> None:
    for config in CONFIGS.values():
        total, active = count_parameters(config)
        assert active <= BUDGET and total <= MOST


def losses(figure: str) -> dict[str, list[float]]:
    """Of each configuration, over the stored seeds."""
    return {name: [row[name][figure] for row in stored.rows("d4_configs")] for name in CONFIGS}


def test_the_references_answer_is_ahead_of_both(row) -> None:
    assert row["reference"]["held_out"] < min(row["small"]["held_out"], row["dense"]["held_out"])


def test_its_worst_start_is_ahead_of_the_others_best() -> None:
    of = losses("held_out")
    assert max(of["reference"]) < min(of["small"] + of["dense"])


def test_small_and_dense_differ_by_less_than_their_starts() -> None:
    of = losses("held_out")
    assert abs(mean(of["small"]) - mean(of["dense"])) < min(max(of[n]) - min(of[n]) for n in of)


def test_copies_alone_would_leave_more_to_luck() -> None:
    """What the reference's answer gains, over the widest range of starts."""

    def gain(figure: str) -> float:
        of = losses(figure)
        gained = mean(of["dense"]) - mean(of["reference"])
        return gained / max(max(found) - min(found) for found in of.values())

    assert gain("held_out") > 1 > gain("told")


def test_so_early_some_sort_of_word_is_wrong_in_half_of_its_copies(row) -> None:
    """And while one is, no story in ten holds together, as the lesson's own run shows."""
    assert all(min(row[name]["copies"].values()) < 0.5 for name in CONFIGS)
