"""Lessons as a learner meets them: in JupyterLab, in Chromium."""

import os
import re
import shutil
from pathlib import Path

import pytest

from helpers.solution_markers import solved, source_of
from tests.browser.lab import ROOT, copy_project, opened, running_lab

LESSON, D3, D4 = "d1_moe.ipynb", "d3_mla.ipynb", "d4_deepseek.ipynb"
RENORMALISE = "gates = gates / gates.sum(dim=-1, keepdim=True)"


@pytest.fixture
def lab(tmp_path):
    with running_lab(copy_project(tmp_path)) as running:
        yield running


@pytest.fixture
def shots(tmp_path):
    """Where screenshots go: BROWSER_SHOTS names a folder to look at them afterwards."""
    return Path(os.environ.get("BROWSER_SHOTS") or tmp_path / "shots")


def right_router():
    module = (ROOT / "solutions" / "d1_moe.py").read_text(encoding="utf-8")
    return solved(source_of(module, "TopKRouter"))


def test_the_lab_opens_without_questions_and_without_jupytext(lab):
    with opened(lab, LESSON) as notebook:
        dialogs = notebook.page.locator(".jp-Dialog, .jp-toast-button").count()
        commands = notebook.page.evaluate("jupyterapp.commands.listCommands()")
    assert dialogs == 0
    assert [name for name in commands if "jupytext" in name] == []


@pytest.mark.parametrize(
    ("lesson", "exercise", "name"),
    [
        (LESSON, "D1.1", "TopKRouter"),
        (D3, "D3.1", "LatentProjections"),
        (D4, "D4.1", "DeepSeekBlock"),
    ],
)
def test_run_all_of_an_unfilled_lesson_stops_at_the_first_check(lab, shots, lesson, exercise, name):
    with opened(lab, lesson) as notebook:
        notebook.run_all(120)
        check = notebook.find("check", exercise)
        said, cells = notebook.failure(check), notebook.cells()
        notebook.element(check)
        notebook.screenshot(shots / f"unfilled-{exercise}.png")
    assert said.strip() == f"{exercise} {name}: not written yet."
    later = [cell for cell in cells[check + 1 :] if cell["cell_type"] == "code"]
    assert later
    assert all(cell["execution_count"] is None and not cell["outputs"] for cell in later)


def test_the_solved_lesson_runs_and_its_slider_redraws_the_picture(lab, shots):
    shutil.copyfile(lab.root / "solutions" / LESSON, lab.root / "work" / LESSON)
    with opened(lab, LESSON) as notebook:
        notebook.run_all(600)
        kinds = [output["output_type"] for c in notebook.cells() for output in c.get("outputs", [])]
        explorer = notebook.explorer()
        before = notebook.picture(explorer)
        notebook.screenshot(shots / "explorer-before.png")
        notebook.move_slider(explorer, steps=1)  # of the token, which is 0
        notebook.wait_for_other_picture(explorer, before)
        notebook.screenshot(shots / "explorer-after.png")
    assert "error" not in kinds
    assert notebook.errors == []


def test_a_wrong_router_is_told_why_and_the_right_one_passes(lab, shots):
    right = right_router()
    wrong = right.replace(RENORMALISE, "")
    assert wrong != right
    with opened(lab, LESSON) as notebook:
        exercise, check = (notebook.find(tag, "D1.1") for tag in ("exercise", "check"))
        notebook.write(exercise, wrong)
        notebook.run_all(120)
        refused = notebook.failure(check)
        notebook.screenshot(shots / "wrong.png")
        notebook.write(exercise, right)
        notebook.run(exercise)
        notebook.run(check)
        accepted, failure = notebook.text(check), notebook.failure(check)
        notebook.screenshot(shots / "right.png")
    assert "gate weights must sum to 1" in refused
    assert "D1.1 TopKRouter: passed" in accepted
    assert failure == ""


def test_the_cache_explorer_follows_its_sliders(lab, shots):
    shutil.copyfile(lab.root / "solutions" / D3, lab.root / "work" / D3)
    with opened(lab, D3) as notebook:
        sources = [cell["source"] for cell in notebook.cells()]
        setup = next(i for i, text in enumerate(sources) if "from checks.d3_mla import" in text)
        explorer = sources.index("cache_explorer()")
        notebook.run(setup)
        notebook.run(explorer)
        before = notebook.picture(explorer)
        notebook.move_slider(explorer, which=1, steps=-2)
        notebook.wait_for_other_picture(explorer, before)
        notebook.screenshot(shots / "cache-explorer.png")
    assert notebook.errors == []


TRAINING = """
import torch
from checks.learner.live import live_traffic
from helpers.data.corpus import Corpus
from helpers.model.llama import Decoder
from helpers.training_loops.language_model import train_lm
from solutions.d1_moe import MoELayer
corpus = Corpus.build(vocab_size=300)
model = Decoder(300, 32, 2, 2, lambda: MoELayer(32, 4, 2, 16))
with live_traffic(model) as watch:
    losses = train_lm(model, corpus, steps={steps}, rows=4)
watch
"""


def test_a_training_is_one_picture_that_changes_in_place(lab, shots):
    with opened(lab, LESSON) as notebook:
        cell = notebook.find("exercise", "D1.1")
        found = []
        for steps in (11, 121):
            notebook.write(cell, TRAINING.format(steps=steps))
            notebook.run(cell, 120)
            outputs = [output.get("data", {}) for output in notebook.cells()[cell]["outputs"]]
            found.append([data["image/png"] for data in outputs if "image/png" in data])
        notebook.element(cell)
        notebook.screenshot(shots / "live.png")
    assert [len(pictures) for pictures in found] == [1, 1]
    assert found[0] != found[1]


NEEDED = ("torch.manual_seed(0)\nsmall = ", "rows = StoryRows.build(", "STEPS = ")


def test_the_box_writes_on_from_a_beginning(lab, shots):
    solved = (lab.root / "solutions" / D4).read_text(encoding="utf-8")
    short = re.sub(r"STEPS = \d+", "STEPS = 8", solved)
    assert short != solved
    (lab.root / "work" / D4).write_text(short, encoding="utf-8")
    with opened(lab, D4) as notebook:
        for number, cell in enumerate(notebook.cells()):
            tags, source = cell["metadata"].get("tags", []), cell["source"]
            if "setup" in tags or "exercise" in tags or source.startswith(NEEDED):
                notebook.run(number, 180)
            if source.startswith("StoryBox("):
                box = number
                notebook.run(box)
        notebook.fill(box, "Wren the mole")
        notebook.press(box, "write")
        notebook.wait_for_text(box, "mole")  # a token of its own, in one colour
        notebook.screenshot(shots / "story-box.png")
    assert notebook.errors == []
