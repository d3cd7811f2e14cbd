"""The benchmarks' own arithmetic: which way is best, when a row is met, what is compared."""

import time
from dataclasses import replace

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.compared import Compared, compared
from benchmarks.models import STORIES_THETA, fields_of, ours, theirs
from benchmarks.peak_memory import _measured
from benchmarks.side_by_side import table
from helpers.model.deepseek_config import DeepSeekConfig
from tests.studies.d4_seeds import SMALL

ROW = Compared("a step", 1, 10.0, 12.0, "eager", 1.1, 1.2, 1.3, 1.0)


def test_the_fastest_of_their_ways_is_the_one_to_beat() -> None:
    ways = {"slow": lambda: time.sleep(0.02), "quick": lambda: time.sleep(0.004)}
    found = compared("sleeping", 1, 1.5, lambda: time.sleep(0.001), ways, turns=3)
    assert found.way == "quick" and found.ours < found.theirs
    assert found.lower_quartile <= found.ratio <= found.upper_quartile


def test_a_row_is_met_by_its_lower_quartile() -> None:
    assert ROW.is_met and not replace(ROW, asked=1.15).is_met
    lines = list(table([ROW, replace(ROW, asked=1.15)]))
    cells = "| a step | 1 | 10.0 ms | 12.0 ms, eager | 1.20 (1.10 to 1.30) |"
    assert lines[2:] == [f"{cells} 1 | met |", f"{cells} 1.15 | not met |"]


def test_the_story_models_sizes_are_the_lessons() -> None:
    assert DeepSeekConfig(**fields_of("d4"), theta=STORIES_THETA) == SMALL


def test_both_sides_have_the_same_weights(tmp_path) -> None:
    model = ours("d4")
    model.to_hf(tmp_path)
    other = theirs(tmp_path, "eager", "sdpa")
    total = sum(p.numel() for p in model.parameters())
    assert total == sum(p.numel() for p in other.parameters())


def test_a_process_tells_how_much_it_grew() -> None:
    assert 1 < _measured("d4", "ours") < 1000


def test_an_unknown_benchmark_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SystemExit, match=r"nothing, --json, or one of accelerator, .*; got speed"):
        main(["speed"])
    assert list(BENCHMARKS) == sorted(BENCHMARKS)
