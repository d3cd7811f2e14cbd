"""The command as a teacher gives it, on a small class that is partly hostile."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from checks import CHECKS, LESSONS
from checks.learner.class_report import __main__ as command
from course import ROOT

LEFT = {"D1.1": "os._exit(0)", "D1.4a": "shutil.rmtree('.')"}


def notebook(lines):
    """D1 with a line in place of what each exercise asks for."""
    made = json.loads((ROOT / "notebooks" / "d1_moe.ipynb").read_text(encoding="utf-8"))
    for cell in made["cells"]:
        line = lines.get(cell["metadata"].get("exercise"))
        if line and "exercise" in cell["metadata"]["tags"]:
            stub = "".join(cell["source"])
            line = f"import os, shutil; {line}"
            cell["source"] = stub.replace("raise NotImplementedError", line)
    return json.dumps(made)


def start(folder, *options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    module = [sys.executable, "-P", "-m", "checks.learner.class_report", "class", *options]
    return subprocess.Popen(
        module,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def folder(tmp_path):
    for name, text in {"ann": notebook({}), "bob": notebook(LEFT), "cid": "<<<<<<< "}.items():
        path = tmp_path / "class" / name / "d1_moe.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_a_hostile_notebook_costs_its_own_rows(folder):
    process = start(folder, "--processes", "2")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    with (folder / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {(row["learner"], row["exercise"]): row["state"] for row in csv.DictReader(file)}
    assert len(rows) == 3 * len(CHECKS)
    d1 = [check.id for check in LESSONS["d1_moe"]]
    # D1.5 is built from parts: where those are not written, they raise before its own gap does.
    assert {e for e in d1 if rows["ann", e] != "unwritten"} == {"D1.5"}
    assert {rows["cid", e] for e in d1} == {"unreadable"}
    hostile = {e: rows["bob", e] for e in d1}
    assert hostile.pop("D1.1") == "ended"
    assert hostile.pop("D1.4a") == hostile.pop("D1.5") == "raised"
    assert set(hostile.values()) == {"unwritten"}
    assert (folder / "class" / "bob" / "d1_moe.ipynb").exists()
    assert (folder / "report" / "index.html").exists()
    assert len(list((folder / "report" / "learners").glob("*.html"))) == 3


def test_ctrl_c_writes_what_is_done_and_says_how_to_go_on(folder):
    process = start(folder, "--processes", "1")
    for line in process.stdout:
        if line.startswith("1 of 3"):
            break
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - began < 15
    assert process.returncode == 1
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert "ann" in (folder / "results.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere is no folder"),
        ([".", "--processes", "0"], "it must be a number above 0, got 0"),
        ([".", "--minutes", "x"], "it must be a number above 0, got x"),
        ([".", "--seed", "-1"], "seed must be a number from 0"),
    ],
)
def test_what_is_not_understood_is_said(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        command.main(arguments)
    assert said in capsys.readouterr().err


def test_a_folder_without_learners_is_said(tmp_path, capsys):
    assert command.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{tmp_path} has no folder of a learner.\n"
