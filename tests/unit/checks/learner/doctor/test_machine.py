"""What the doctor says of a machine before anything is installed: the difference is taken away."""

import ast
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from checks.learner.doctor import machine, packages


def test_they_need_nothing_but_python() -> None:
    for script in (machine, packages):
        tree = ast.parse(Path(script.__file__).read_text(encoding="utf-8"))
        at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        names = {a.name for node in at_once if isinstance(node, ast.Import) for a in node.names}
        names |= {node.module for node in at_once if isinstance(node, ast.ImportFrom)}
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_before_the_installation_it_says_what_it_can(tmp_path) -> None:
    command = [sys.executable, "-I", "-S", machine.__file__, "none", sys.executable]
    run = subprocess.run(
        command, capture_output=True, encoding="utf-8", env={**os.environ, "PYTHONUTF8": "1"}
    )
    assert run.stderr == ""
    *lines, verdict = run.stdout.splitlines()
    words = [line.split()[1] for line in lines]
    assert words == ["Python", "system", "folder", "disk", "notebooks", "port", "environment"]
    assert "not made yet" in lines[-1] and lines[-1].startswith("·")
    bad = [line for line in lines if line.startswith("✗")]
    assert run.returncode == bool(bad)
    assert verdict == (f"{len(bad)} to mend." if bad else "Nothing to mend.")


@pytest.mark.parametrize(
    ("name", "processor", "good"),
    [
        ("Darwin", "x86_64", False),
        ("Darwin", "arm64", None),
        ("Windows", "AMD64", None),
        ("Linux", "x86_64", True),
    ],
)
def test_where_pytorch_comes_and_where_it_does_not(monkeypatch, name, processor, good) -> None:
    monkeypatch.setattr(machine.platform, "system", lambda: name)
    monkeypatch.setattr(machine.platform, "machine", lambda: processor)
    _, found, text = machine.system()
    assert found is good
    assert ("Colab" in text) == (good is False)


def test_a_linux_with_musl_is_named(monkeypatch) -> None:
    monkeypatch.setattr(machine.sysconfig, "get_config_var", lambda name: "x86_64-pc-linux-musl")
    assert machine.system()[1] is False


def test_a_python_of_32_bits_without_venv_or_untested(monkeypatch) -> None:
    monkeypatch.setattr(machine.importlib.util, "find_spec", lambda name: None)
    assert machine.python()[1] is False and "apt install" in machine.python()[2]
    monkeypatch.undo()
    monkeypatch.setattr(machine.sys, "maxsize", 2**31 - 1)
    assert machine.python()[1] is False and "32 bits" in machine.python()[2]
    monkeypatch.undo()
    monkeypatch.setattr(machine, "TESTED", (3, 5))
    assert machine.python()[1] is None and "tested with 3.5" in machine.python()[2]


def test_too_little_disk_before_and_after_the_installation(monkeypatch) -> None:
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    assert machine.disk(installed=False)[1] is False
    assert machine.disk(installed=True)[1] is True


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path, monkeypatch) -> None:
    (tmp_path / "work").mkdir()

    def refused(dir: Path) -> None:
        if dir == tmp_path / "work":
            raise PermissionError(13, "Permission denied")
        return real(dir=dir)

    real = machine.tempfile.TemporaryFile
    assert machine.folder(tmp_path)[1] is True
    monkeypatch.setattr(machine.tempfile, "TemporaryFile", refused)
    _, good, text = machine.folder(tmp_path)
    assert good is False and f"{tmp_path / 'work'} cannot be written to (Permission denied)" in text


def test_missing_notebooks_are_named(tmp_path) -> None:
    assert machine.notebooks()[1] is True
    assert machine.notebooks(tmp_path) == (
        "notebooks",
        False,
        "d1 is missing: python3 course.py build makes it.",
    )


def test_a_port_that_is_taken_and_none_at_all(monkeypatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        assert machine.port(number) == (
            "port",
            None,
            f"{number} is taken, so JupyterLab takes the next that is free.",
        )
    assert machine.port(number)[1] is True
    monkeypatch.setattr(machine, "_can_listen", lambda number: False)
    assert machine.port()[1] is False


@pytest.mark.parametrize(
    ("state", "good"), [("none", None), ("broken", None), ("old", None), ("pinned", True)]
)
def test_every_state_of_the_environment_has_its_sentence(state, good) -> None:
    word, found, text = machine.environment(state)
    assert (word, found) == ("environment", good)
    assert ("course.py lab" in text) == (good is None)


def answer(tmp_path: Path, source: str) -> list[machine.Finding]:
    script = tmp_path / "says.py"
    script.write_text(source, encoding="utf-8")
    return machine.of_packages([sys.executable, str(script)])


def test_the_last_line_of_the_packages_script_counts(tmp_path) -> None:
    said = json.dumps([["torch", True, "computes."]])
    assert answer(tmp_path, f"print('noise')\nprint({said!r})") == [("torch", True, "computes.")]


@pytest.mark.parametrize("source", ["raise SystemExit(3)", "1 / 0", "print('noise')", "print(3)"])
def test_packages_that_do_not_answer_are_one_finding(tmp_path, source) -> None:
    [(word, good, text)] = answer(tmp_path, source)
    assert (word, good) == ("packages", False)
    assert "delete the folder .venv" in text
    assert ("ZeroDivisionError" in text) == (source == "1 / 0")


def test_a_python_that_is_not_there_is_one_finding(tmp_path) -> None:
    [(word, good, _)] = machine.of_packages([str(tmp_path / "python"), "x.py"])
    assert (word, good) == ("packages", False)


def test_the_exit_code_is_zero_unless_something_is_to_be_mended(monkeypatch, capsys) -> None:
    monkeypatch.setattr(machine, "findings", lambda *_: [("a", True, "b."), ("c", None, "d.")])
    assert machine.main("none", "") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Nothing to mend."
    monkeypatch.setattr(machine, "findings", lambda *_: [("a", True, "b."), ("c", False, "d.")])
    assert machine.main("none", "") == 1
    assert capsys.readouterr().out.splitlines() == [
        "✓ a            b.",
        "✗ c            d.",
        "1 to mend.",
    ]
