"""Open tasks: a figure without pass or fail, one sentence, and the best one on the board."""

import json
import time
from pathlib import Path

import pytest
import torch

import checks
from checks import CHECKS
from checks.learner.measured import Measure, NotMeasured, time_ratio
from checks.learner_files import paths
from solutions import d1_moe


def length(answer: object) -> float:
    return float(len(answer()))


def measure(**changed: object) -> Measure:
    given = {
        "exercise": "D1.O1",
        "title": "the longest text",
        "unit": "letters",
        "better": "higher",
        "take": length,
    }
    return Measure(**{**given, **changed})


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder for the length of a test, and the process in it, as a learner's kernel."""
    monkeypatch.setattr(paths, "WORK", tmp_path / "work")
    paths.WORK.mkdir()
    monkeypatch.chdir(paths.WORK)
    return paths.WORK


def kept(work: Path) -> dict:
    return json.loads((work / "progress.json").read_text(encoding="utf-8"))


def test_an_answer_gets_a_figure_and_one_sentence(capsys) -> None:
    figure = measure()(lambda: "abc")
    assert (figure.value, figure.best) == (3.0, 3.0)
    assert capsys.readouterr().out == "D1.O1 the longest text: 3 letters.\n"


@pytest.mark.parametrize(("better", "best"), [("higher", 5.0), ("lower", 2.0)])
def test_the_board_keeps_the_best_figure(work: Path, capsys, better, best) -> None:
    task = measure(better=better)
    values = [task(lambda word=word: word).value for word in ("abcde", "ab", "abc")]
    assert values == [5.0, 2.0, 3.0]
    assert kept(work)["D1.O1"]["figure"] == best
    assert capsys.readouterr().out.endswith(f": 3 letters (best so far {best:g}).\n")
    assert task(lambda: "abc").best == best


def test_the_board_shows_it_and_counts_it_nowhere(work: Path) -> None:
    before = checks.progress().text
    measure()(lambda: "abc")
    after = checks.progress().text
    assert after == f"{before}\nOpen tasks, best so far\n    D1.O1 the longest text: 3 letters"
    assert after.startswith("0 of 14 subtasks done")


def test_a_figure_stands_beside_the_exercise_that_it_belongs_to(work: Path) -> None:
    CHECKS["D1.4a"](lambda experts, n: d1_moe.expert_load(experts, n))
    measure(exercise="D1.4a")(lambda: "abc")
    assert "✓ expert_load: passed, best so far 3 letters" in checks.progress().text


def test_outside_work_nothing_is_kept(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure()(lambda: "abcde")
    monkeypatch.chdir(work.parent)
    before = (work / "progress.json").read_bytes()
    assert measure()(lambda: "ab").best == 2.0
    assert (work / "progress.json").read_bytes() == before


def refuse(answer: object) -> float:
    raise NotMeasured("it is wrong by 0.3")


def never(answer: object) -> float:
    while True:
        pass


def stub() -> str:
    raise NotImplementedError


@pytest.mark.parametrize(
    ("changed", "answer", "why"),
    [
        ({"take": refuse}, None, "it is wrong by 0.3"),
        ({"take": never, "seconds": 0.2}, None, "it was still running after 0.2 s of computing"),
        ({}, stub, "it is not written yet"),
        ({}, lambda: 1 / 0, "it raised ZeroDivisionError: division by zero"),
        ({}, None, "it raised TypeError: 'NoneType' object is not callable"),
        ({"take": lambda answer: float("nan")}, None, "what came is nan"),
        ({"take": lambda answer: None}, None, "what came is None"),
    ],
)
def test_an_answer_without_a_figure_is_one_sentence(
    work: Path, capsys, changed: dict, answer: object, why: str
) -> None:
    measure()(lambda: "abc")
    capsys.readouterr()
    figure = measure(**changed)(answer)
    assert (figure.value, figure.best) == (None, 3.0)
    assert capsys.readouterr().out == f"D1.O1 the longest text: no figure, because {why}.\n"
    assert kept(work)["D1.O1"]["figure"] == 3.0


def test_an_answer_that_its_check_refuses_has_no_figure(capsys) -> None:
    task = measure(check=CHECKS["D1.4a"], take=lambda answer: 1.0)
    assert task(lambda experts, n: None).value is None
    said = capsys.readouterr().out
    assert "no figure, because expert_load does not pass its check: load must be " in said
    assert said.endswith("Did you forget a `return`?\n")
    assert task(d1_moe.expert_load).value == 1.0


def test_the_random_state_of_the_notebook_stays_as_it_was() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(1)
    torch.manual_seed(3)
    drawn = {measure(take=lambda answer: float(torch.rand(1)))(None).value for _ in range(2)}
    assert len(drawn) == 1
    assert torch.equal(torch.rand(1), wanted)


def test_a_time_is_a_ratio_to_the_reference() -> None:
    ratio = time_ratio(lambda: time.sleep(0.02), lambda: time.sleep(0.01), turns=3)
    assert 1.2 < ratio < 3.0


def test_better_is_one_of_two_words() -> None:
    with pytest.raises(ValueError, match=r"better must be .*, got 'faster'"):
        measure(better="faster")
