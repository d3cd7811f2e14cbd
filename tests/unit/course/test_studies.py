"""A stored study is of today's sources, or it says which command makes it anew."""

import json
from types import SimpleNamespace

import pytest

from lessons import stored_studies as stored
from tests.studies import __main__ as command
from tests.studies.drawn_row import drawn, far_off

STALE = "run `python -m tests.studies d1_seeds` and commit it"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The source of a study in a course of its own, which measures twice its seed."""
    source = tmp_path / "tests" / "studies" / "d1_seeds.py"
    source.parent.mkdir(parents=True)
    source.write_text("WIDTH = 1\n", encoding="utf-8")
    module = SimpleNamespace(SEEDS=(1, 2), measure=lambda seed: {"loss": 2 * seed})
    (tmp_path / "lessons").mkdir()
    for function in (stored.names, stored.is_stale, stored.made_from, stored.rows, stored.store):
        defaults = tuple(
            tmp_path if default == stored.ROOT else default for default in function.__defaults__
        )
        monkeypatch.setattr(function, "__defaults__", defaults)
    monkeypatch.setattr(command, "import_module", lambda name: module)
    return source


def test_a_study_that_was_never_stored_is_stale(study):
    assert stored.is_stale("d1_seeds")
    with pytest.raises(ValueError, match=STALE):
        stored.rows("d1_seeds")


def test_a_run_stores_a_row_per_seed(study):
    command.run("d1_seeds")
    assert stored.rows("d1_seeds") == [{"seed": 1, "loss": 2}, {"seed": 2, "loss": 4}]


def test_a_changed_source_makes_it_stale_and_a_comment_does_not(study):
    command.run("d1_seeds")
    study.write_text("WIDTH = 1  # of a bar\n", encoding="utf-8")
    assert not stored.is_stale("d1_seeds")
    study.write_text("WIDTH = 2\n", encoding="utf-8")
    with pytest.raises(ValueError, match=STALE):
        stored.rows("d1_seeds")


def test_another_torch_makes_it_stale(study, monkeypatch):
    command.run("d1_seeds")
    monkeypatch.setattr(stored.torch, "__version__", "9.0.0+cpu")
    assert stored.is_stale("d1_seeds")


def test_an_edited_row_is_noticed(study):
    command.run("d1_seeds")
    path = study.parents[2] / "lessons" / "studies" / "d1_seeds.json"
    kept = json.loads(path.read_text(encoding="utf-8"))
    kept["rows"][0]["loss"] = 1
    path.write_text(json.dumps(kept), encoding="utf-8")
    with pytest.raises(ValueError, match=STALE):
        stored.rows("d1_seeds")


def test_the_command_runs_what_is_stale_and_nothing_twice(study, capsys):
    assert command.main([]) == 0
    assert capsys.readouterr().out == "lessons/studies/d1_seeds.json is written\n"
    assert command.main([]) == 0
    assert capsys.readouterr().out == ""


def test_a_name_that_is_none_of_a_study_costs_one_sentence(study, capsys):
    assert command.main(["d9"]) == 2
    assert capsys.readouterr().err == "d9 is none of the studies: d1_seeds\n"


def test_the_drawn_row_is_one_of_a_study_and_changes_with_the_commit():
    found = {drawn(f"{number:040x}") for number in range(40)}
    assert ("d1_seeds", 0) in found
    assert len(found) > 10


def test_a_row_may_differ_by_the_spread_over_seeds_and_by_no_more():
    rows = [{"seed": 0, "loss": [1.0], "ms a step": 5.0}, {"seed": 1, "loss": [1.5]}]
    assert far_off({"loss": [1.4], "ms a step": 50.0}, 0, rows) == []
    assert far_off({"loss": [1.6]}, 0, rows) == ["loss 0: 1.6 here, 1.0 stored, spread 0.5"]
    assert far_off({"other": 1.0}, 0, rows) == ["other: 1 here, None stored, spread 0"]
