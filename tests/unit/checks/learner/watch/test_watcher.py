"""The watching, with a process that says what the test wants."""

from typing import ClassVar

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from checks.learner.watch import watcher
from checks.learner.watch.rerun import Saying
from checks.learner_files import paths


class Said:
    """Stands for the process: it takes a job, and says what `script` holds."""

    made: ClassVar[list["Said"]] = []
    script: ClassVar[list[Saying]] = []

    def __init__(self, lesson: str):
        self.jobs, self.busy, self.ended = [], False, False
        Said.made.append(self)

    def start(self, job) -> None:
        self.busy = True
        self.jobs.append(job)

    def listen(self, seconds: float):
        return Said.script.pop(0) if Said.script else None

    def end(self) -> None:
        self.busy, self.ended = False, True


@pytest.fixture
def lines(tmp_path, monkeypatch):
    """What was told, of a watch over D1 in a folder of its own."""
    monkeypatch.setattr(paths, "WORK", tmp_path)
    monkeypatch.setattr(watcher, "LOOK", 0)
    monkeypatch.setattr(watcher, "SETTLES", 0.0)
    Said.made, Said.script = [], []
    return []


def save(source: str) -> None:
    cell = new_code_cell(source, id="one", metadata={"tags": ["exercise"], "exercise": "D1.1"})
    nbformat.write(new_notebook(cells=[cell]), paths.WORK / "d1_moe.ipynb")


def begun(lines: list[str]) -> watcher.Watcher:
    save("x = 1")
    return watcher.Watcher("d1_moe", lines.append, Said)


def turns(watching: watcher.Watcher, count: int) -> None:
    for _ in range(count):
        watching.turn()


def test_a_save_is_checked_once_and_the_next_in_a_fresh_process(lines) -> None:
    watching = begun(lines)
    Said.script = [
        Saying("running", ("D1.1 TopKRouter",), "D1.1"),
        Saying("failed", ("✗ D1.1", "  why"), "D1.1"),
        Saying("end", ("D1 ✗",), digests={"D1.1": "a"}),
    ]
    turns(watching, 5)
    assert "d1_moe.ipynb" in lines[0]
    assert lines[1].endswith("D1.1 TopKRouter …")
    assert lines[2:] == ["✗ D1.1", "  why", "D1 ✗", ""]
    save("x = 2")
    turns(watching, 1)
    assert [len(process.jobs) for process in Said.made] == [1, 1]
    assert Said.made[0].ended
    job = Said.made[1].jobs[0]
    assert (job.before, job.at, job.passed) == ({"D1.1": "a"}, "D1.1", frozenset())


def test_what_passed_is_known_to_the_next_run(lines) -> None:
    watching = begun(lines)
    Said.script = [
        Saying("passed", ("✓",), "D1.1", {"D1.1": "a"}),
        Saying("end", ("D1 ✓",), digests={"D1.1": "a"}),
    ]
    turns(watching, 3)
    save("x = 2")
    turns(watching, 1)
    assert Said.made[1].jobs[0].passed == {"a"}


def test_a_save_while_it_runs_takes_its_place(lines) -> None:
    watching = begun(lines)
    turns(watching, 1)
    save("x = 2")
    turns(watching, 1)
    assert Said.made[0].ended
    assert Said.made[1].jobs[0].cells[0].source == "x = 2"
    assert "Saved again" in lines[-1]


def test_half_a_file_is_told_only_if_it_stays_so(lines, monkeypatch) -> None:
    watching = begun(lines)
    Said.script = [Saying("end", ("D1 ✗",))]
    turns(watching, 2)
    monkeypatch.setattr(watcher, "SETTLES", 60.0)
    whole = (paths.WORK / "d1_moe.ipynb").read_bytes()
    (paths.WORK / "d1_moe.ipynb").write_bytes(whole[:40])
    told = len(lines)
    turns(watching, 2)
    assert len(lines) == told
    save("x = 3")
    turns(watching, 1)
    assert len(lines) == told and Said.made[-1].jobs
    monkeypatch.setattr(watcher, "SETTLES", 0.0)
    (paths.WORK / "d1_moe.ipynb").write_bytes(whole[:40])
    turns(watching, 3)
    assert [line for line in lines[told:] if "cannot be read as a notebook" in line] == lines[told:]
    assert len(lines) == told + 1


def test_a_process_that_dies_is_named_by_what_ran(lines) -> None:
    watching = begun(lines)
    Said.script = [Saying("running", ("D1.1 TopKRouter",)), Saying("lost", ("it ended.",))]
    turns(watching, 3)
    assert lines[-2] == "✗ D1.1 TopKRouter: it ended."
    save("x = 2")
    turns(watching, 1)
    assert Said.made[1].jobs[0].before == {}


def test_an_interrupt_ends_the_process_too(lines, monkeypatch) -> None:
    watching = begun(lines)

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "turn", interrupted)
    with pytest.raises(KeyboardInterrupt):
        watching.watch()
    assert Said.made[0].ended


def test_without_colours_nothing_but_words_is_left() -> None:
    assert watcher.plain("\x1b[31m✗ D1.1\x1b[0m") == "✗ D1.1"
