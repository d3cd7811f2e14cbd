"""`course.py test`: which steps run, what is judged anew, and what `--full` writes."""

import json

import pytest

from course import ROOT
from tests import chromium, judged, steps
from tests.steps import Step

FILES = {
    "lessons/d1_moe.py": "import helpers.bar\n",
    "helpers/bar.py": "WIDTH = 1\n",
    "checks/audit/bank/d1_moe/router.py": "WRONG = 1\n",
    "solutions/d1_moe.ipynb": "{}",
    "requirements.txt": "numpy\n",
    "tests/unit/course/test_one.py": "",
    "tests/studies/test_d1_seeds.py": "",
    "checks/__main__.py": "",
    "checks/audit/audit.py": "",
    "checks/d1_moe/__init__.py": "",
    "helpers/moved.py": "",
    "solutions/d1_moe.py": "",
    "tests/old_notebooks/d1_moe.ipynb": "",
    "tests/oracle/answers.py": "",
    "tests/oracle/faults.py": "",
    "tests/lessons/test_references.py": "import checks.d1_moe\n",
}


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course of one lesson and one folder of unit tests, which `steps` takes for its own."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(steps, "ROOT", tmp_path)
    monkeypatch.setattr(steps, "has_chromium", lambda: "")
    return tmp_path


@pytest.fixture
def ran(monkeypatch):
    """The commands that would have run; all pass."""
    commands = []

    def call(command):
        commands.append(command)
        return True, "1 passed"

    monkeypatch.setattr(steps, "call", call)
    return commands


JUDGED = {f"{kind} d1_moe" for kind in ("audit", "checks", "oracle", "nbval", "old notebook")}


def test_what_is_stale_is_judged_and_nothing_else(course, ran):
    assert judged.stale(course) == JUDGED
    judged.update(course)
    assert steps.main([]) == 0
    assert not any(command[0] == "checks" or "--nbval" in command for command in ran)
    (course / "checks/audit/bank/d1_moe/router.py").write_text("WRONG = 2\n", encoding="utf-8")
    assert judged.stale(course) == {"audit d1_moe", "oracle d1_moe", "nbval d1_moe"}
    assert steps.main([]) == 0
    assert ("checks", "audit", "d1_moe", "--processes", "1") in ran


def test_a_comment_makes_nothing_stale_and_a_constant_does(course):
    judged.update(course)
    (course / "helpers/bar.py").write_text("WIDTH = 1  # of a bar\n", encoding="utf-8")
    assert judged.stale(course) == set()
    (course / "helpers/bar.py").write_text("WIDTH = 2\n", encoding="utf-8")
    assert judged.stale(course) == {"nbval d1_moe"}


def test_only_full_runs_the_seed_studies_several_processes_and_the_browser(course, ran):
    steps.main([])
    words = [word for command in ran for word in command]
    assert not any(
        slow in word for word in words for slow in ("studies", "tests/processes", "browser")
    )
    steps.main(["--full"])
    words = [word for command in ran for word in command]
    assert any("studies" in word for word in words)
    assert {"tests/processes", "tests/browser"} <= set(words)


def test_full_judges_everything_and_writes_what_it_judged_once_all_passed(course, ran, capsys):
    assert steps.main(["--full"]) == 1
    assert "tests/judged.json was not that of these sources" in capsys.readouterr().out
    assert json.loads((course / "tests/judged.json").read_text("utf-8")) == judged.digests(course)
    ran.clear()
    assert steps.main(["--full"]) == 0
    assert ("checks", "audit", "d1_moe", "--processes", "1") in ran


def test_one_failure_is_the_exit_code_and_writes_nothing(course, monkeypatch, capsys):
    def call(command):
        return command[0] != "ruff", "said"

    monkeypatch.setattr(steps, "call", call)
    assert steps.main(["--full"]) == 1
    *summary, last = capsys.readouterr().out.split("== summary ==\n")[1].splitlines()
    assert last == "failed: ruff check, ruff format"
    assert sorted(line.split()[2] for line in summary if "FAILED" in line) == ["FAILED"] * 2
    assert all(" min" in line for line in summary)
    assert not (course / "tests/judged.json").exists()


def test_a_step_that_is_not_ready_fails_with_its_sentence(capsys):
    outcome = steps.run_step(Step("browser", ("never",), lambda: "No browser is here."))
    assert not outcome.passed
    assert "No browser is here." in capsys.readouterr().out


def test_a_command_is_run_with_one_thread_and_its_output_kept():
    passed, output = steps.call(("this",))
    assert passed and "Beautiful is better than ugly." in output
    assert not steps.call(("no_such_module",))[0]


def test_without_chromium_root_and_apt_one_sentence_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    assert chromium.has_chromium().startswith("The browser tests need Chromium")


def test_every_folder_of_unit_tests_is_a_step():
    folders = {path.parent for path in (ROOT / "tests" / "unit").rglob("test_*.py")}
    named = {step.command[-1] for step in steps.unit_steps()}
    assert named == {folder.relative_to(ROOT).as_posix() for folder in folders}
