"""course.py: what it does around the packages. Nothing is installed and nothing started here."""

import ast
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from course import ROOT


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def course(tmp_path, monkeypatch):
    """course.py in a project of its own, of two lessons; `calls` holds what it would have run."""
    for name in ("course.py", "requirements.txt", "constraints.txt", "pyproject.toml"):
        shutil.copyfile(ROOT / name, tmp_path / name)
    (tmp_path / "notebooks").mkdir()
    for stem in ("d1_moe", "d2_deepseek_moe"):
        (tmp_path / "notebooks" / f"{stem}.ipynb").write_bytes(b"the lesson " + stem.encode())
    module = load(tmp_path / "course.py")
    module.calls = []

    def call(command):
        module.calls.append(command)
        return 0

    def serve(command, env, folder=module.ROOT):
        module.served = SimpleNamespace(command=command, env=env, folder=folder)
        return 0

    monkeypatch.setattr(module, "call", call)
    monkeypatch.setattr(module, "serve", serve)
    monkeypatch.setattr(module, "runs", lambda *arguments: bool(module.calls))
    return module


def one_sentence(text):
    return text.count("\n") == 1 and text.endswith(".\n") and "Traceback" not in text


def pip_calls(course):
    return [command for command in course.calls if "pip" in command]


# The command line


def test_alone_it_lists_every_command(course, capsys):
    assert course.run([]) == 0
    listed = capsys.readouterr().out
    assert all(f"\n  {name} " in listed for name in course.COMMANDS)
    assert course.calls == []


def test_an_unknown_command_is_named_and_the_list_shown(course, capsys):
    assert course.run(["tset"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("There is no command tset.\n")
    assert course.listing() in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["lab", "--nobrowser"],
        ["lab", "d1"],
        ["lab", "--port", "many"],
        ["test", "--ful"],
        ["doctor", "d1"],
    ],
)
def test_what_is_not_understood_is_one_sentence(course, capsys, arguments):
    assert course.run(arguments) == 1
    said = capsys.readouterr().err
    assert one_sentence(said)
    assert arguments[-1] in said
    assert course.calls == []


def test_it_can_be_read_by_a_python_that_is_too_old():
    source = (ROOT / "course.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 7))


def test_a_python_that_is_too_old_is_one_sentence(course, capsys, monkeypatch):
    monkeypatch.setattr(course.sys, "version_info", (3, 8, 10))
    assert course.run(["lab"]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said)
    assert "3.11 or newer" in said
    assert course.calls == []


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_stops_it_from_outside_is_one_sentence(course, capsys, monkeypatch, stop):
    def stopped():
        raise stop

    monkeypatch.setattr(course, "copy_notebooks", stopped)
    assert course.run(["lab"]) == 1
    assert one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "handed_on"),
    [
        (["status"], ["-m", "checks", "status"]),
        (["validate", "--all", "d1_moe"], ["-m", "checks", "validate", "--all", "d1_moe"]),
        (["audit", "d1", "--json"], ["-m", "checks", "audit", "d1", "--json"]),
        (["update", "--undo"], ["-m", "checks.learner.updating", "update", "--undo"]),
        (["reset", "D1.3"], ["-m", "checks.learner.updating", "reset", "D1.3"]),
        (["restart", "d1"], ["-m", "checks.learner.updating", "restart", "d1"]),
        (["build", "--check"], ["-m", "lessons.build", "--check"]),
    ],
)
def test_other_commands_are_handed_on_as_they_are(course, arguments, handed_on):
    assert course.run(arguments) == 0
    assert course.calls[-1] == course.python(*handed_on)


def test_the_exit_code_of_what_was_handed_on_is_its_own(course, monkeypatch):
    course.prepare()
    monkeypatch.setattr(course, "call", lambda command: 3)
    assert course.run(["validate"]) == 3


# watch and doctor


def test_watch_is_handed_on_and_ends_by_ctrl_c_as_the_lab_does(course):
    assert course.run(["watch", "d1"]) == 0
    assert course.served.command == course.python("-m", "checks.learner.watch", "d1")
    assert course.served.env["PYTHONUTF8"] == "1"
    assert len(pip_calls(course)) == 1


def doctored(course):
    """What doctor says of the environment, and the Python that it asks about the packages."""
    assert course.run(["doctor"]) == 0
    here, script, *said = course.calls[-1]
    assert here == sys.executable
    assert script == str(course.ROOT / "checks" / "learner" / "doctor" / "machine.py")
    return said


def test_doctor_makes_nothing_where_nothing_is(course):
    assert doctored(course) == ["none", sys.executable]
    assert len(course.calls) == 1
    assert not course.VENV.exists()


def test_doctor_knows_an_environment_that_is_made_old_or_broken(course, monkeypatch):
    course.prepare(dev=True)
    assert doctored(course) == ["pinned", course.python()[0]]
    with (course.ROOT / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write("six==1.17.0\n")
    assert doctored(course) == ["old", course.python()[0]]
    monkeypatch.setattr(course, "runs", lambda *arguments: False)
    assert doctored(course) == ["broken", sys.executable]


def test_the_exit_code_of_the_doctor_is_its_own(course, monkeypatch):
    monkeypatch.setattr(course, "call", lambda command: 1)
    assert course.run(["doctor"]) == 1


# The environment


def test_the_first_call_makes_the_environment_and_the_second_does_not(course):
    course.prepare()
    assert [command[1:3] for command in course.calls] == [["-m", "venv"], ["-m", "pip"]]
    course.prepare()
    assert len(course.calls) == 2


def test_changed_pins_are_installed_into_the_same_environment(course):
    course.prepare()
    with (course.ROOT / "requirements.txt").open("a", encoding="utf-8") as file:
        file.write("six==1.17.0\n")
    course.prepare()
    assert [command[1:3] for command in course.calls[2:]] == [["-m", "pip"]]


def test_the_makers_packages_are_installed_only_where_they_are_wanted(course):
    course.prepare()
    assert ".[dev]" not in course.calls[-1]
    course.prepare(dev=True)
    assert ".[dev]" in course.calls[-1]
    course.prepare()
    course.prepare(dev=True)
    assert len(pip_calls(course)) == 2


def test_an_environment_that_does_not_start_is_made_anew(course, monkeypatch):
    course.prepare()
    monkeypatch.setattr(course, "runs", lambda *arguments: False)
    course.prepare()
    assert [command[1:3] for command in course.calls[2:]] == [["-m", "venv"], ["-m", "pip"]]
    assert "--clear" in course.calls[2]


def test_a_failed_install_is_one_sentence_and_is_tried_again(course, capsys, monkeypatch):
    right = course.call
    monkeypatch.setattr(course, "call", lambda command: right(command) or int("pip" in command))
    assert course.run(["status"]) == 1
    assert one_sentence(capsys.readouterr().err)
    monkeypatch.setattr(course, "call", right)
    assert course.run(["status"]) == 0
    assert len(pip_calls(course)) == 3


def test_a_package_that_is_found_at_the_second_try_costs_nothing(course, monkeypatch):
    right, tries = course.call, []

    def call(command):
        tries.append("pip" in command)
        return right(command) or int(sum(tries) == 1)

    monkeypatch.setattr(course, "call", call)
    assert course.main(["validate"]) == 0
    assert len(pip_calls(course)) == 2


@pytest.mark.parametrize("module", ["venv", "ensurepip"])
def test_a_python_without_venv_is_one_sentence(course, capsys, monkeypatch, module):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        course.importlib.util, "find_spec", lambda name: None if name == module else find(name)
    )
    assert course.run(["lab"]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said)
    assert f"no {module} module" in said
    assert course.calls == []


def test_a_mac_with_an_intel_processor_is_one_sentence(course, capsys, monkeypatch):
    monkeypatch.setattr(course.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(course.platform, "machine", lambda: "x86_64")
    assert course.run(["lab"]) == 1
    said = capsys.readouterr().err
    assert "Intel processor" in said and one_sentence(said)
    assert not course.calls


def test_too_little_disk_is_one_sentence_before_anything_is_made(course, capsys, monkeypatch):
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: SimpleNamespace(free=2e8))
    assert course.run(["lab"]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said.replace("0.2 GB", ""))
    assert "0.2 GB are free" in said
    assert course.calls == []


def test_an_environment_without_a_python_does_not_start(tmp_path):
    shutil.copyfile(ROOT / "course.py", tmp_path / "course.py")
    assert not load(tmp_path / "course.py").runs("-c", "")


# lab


def test_missing_notebooks_are_copied_and_others_never_touched(course, capsys):
    work = course.ROOT / "work"
    work.mkdir()
    (work / "d1_moe.ipynb").write_bytes(b"mine")
    os.utime(work / "d1_moe.ipynb", (1, 1))
    course.copy_notebooks()
    assert (work / "d1_moe.ipynb").read_bytes() == b"mine"
    assert (work / "d1_moe.ipynb").stat().st_mtime == 1
    assert (work / "d2_deepseek_moe.ipynb").read_bytes() == b"the lesson d2_deepseek_moe"
    names = {"d1_moe.ipynb", "d2_deepseek_moe.ipynb", ".course"}
    assert {path.name for path in work.iterdir()} == names
    base = work / ".course" / "base"
    assert [path.name for path in base.iterdir()] == ["d2_deepseek_moe.ipynb"]
    assert (base / "d2_deepseek_moe.ipynb").read_bytes() == b"the lesson d2_deepseek_moe"
    assert capsys.readouterr().out.splitlines() == [
        "There is a newer d1_moe.ipynb: python3 course.py update merges it into yours."
    ]


def test_a_lesson_is_newer_where_it_is_not_what_was_copied(course, capsys):
    course.copy_notebooks()
    os.utime(course.ROOT / "work" / "d1_moe.ipynb", (1, 1))
    course.copy_notebooks()
    assert capsys.readouterr().out == ""
    (course.ROOT / "notebooks" / "d2_deepseek_moe.ipynb").write_bytes(b"a newer lesson")
    course.copy_notebooks()
    assert capsys.readouterr().out.startswith("There is a newer d2_deepseek_moe.ipynb: ")


def test_a_copy_that_breaks_off_leaves_no_half_notebook(course, monkeypatch):
    def broken(self, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", broken)
    with pytest.raises(OSError, match="No space"):
        course.copy_notebooks()
    assert not (course.ROOT / "work" / "d1_moe.ipynb").exists()


def test_lab_listens_on_loopback_only_and_leaves_the_token_on(course):
    assert course.run(["lab"]) == 0
    command = course.served.command
    assert "--ServerApp.ip=127.0.0.1" in command
    assert f"--ServerApp.root_dir={course.ROOT}" in command
    assert "--LabApp.default_url=/lab/tree/work/d1_moe.ipynb" in command
    assert not any("token" in part or "password" in part for part in command)
    assert "--no-browser" not in command
    assert not any(part.startswith("--ServerApp.port") for part in command)


def test_lab_hands_on_port_and_no_browser(course):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert course.run(["lab", "--no-browser", "--port", str(port)]) == 0
    assert "--no-browser" in course.served.command
    assert f"--ServerApp.port={port}" in course.served.command


def test_a_port_in_use_is_one_sentence(course, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert course.run(["lab", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said)
    assert str(port) in said
    assert course.calls == []


@pytest.mark.parametrize("port", ["0", "65536", "-1"])
def test_a_port_that_is_none_is_one_sentence(course, capsys, port):
    assert course.run(["lab", "--port", port]) == 1
    said = capsys.readouterr().err
    assert one_sentence(said)
    assert f"got {port}" in said


def test_lab_without_the_first_lesson_says_how_to_make_it(course, capsys):
    (course.ROOT / "notebooks" / "d1_moe.ipynb").unlink()
    assert course.run(["lab"]) == 1
    assert "course.py build" in capsys.readouterr().err
    assert course.calls == []


def test_the_readers_own_jupyter_settings_come_after_the_courses(course, monkeypatch):
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "theirs")
    course.run(["lab"])
    first, second = course.served.env["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    assert Path(first).is_relative_to(course.VENV)
    assert second == "theirs"


def test_ctrl_c_waits_for_jupyterlab_to_end(tmp_path, monkeypatch):
    shutil.copyfile(ROOT / "course.py", tmp_path / "course.py")
    course = load(tmp_path / "course.py")
    waits = []

    class Server(subprocess.Popen):
        def wait(self, timeout=None):
            waits.append(timeout)
            if len(waits) == 1:
                raise KeyboardInterrupt
            return super().wait(timeout)

    monkeypatch.setattr(course.subprocess, "Popen", Server)
    assert course.serve([sys.executable, "-c", ""], dict(os.environ)) == 0
    assert waits[0] is None
    assert waits[1] is not None


# grade


def test_a_class_is_graded_from_where_the_command_is_given(course, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert course.run(["grade", "class", "--csv", "a.csv"]) == 0
    module = course.served.command[1:4]
    assert module == [
        "-P",
        "-m",
        "checks.learner.class_report",
    ]  # no file of the folder is imported
    assert course.served.command[4:] == ["class", "--csv", "a.csv"]
    assert course.served.folder == str(tmp_path)
