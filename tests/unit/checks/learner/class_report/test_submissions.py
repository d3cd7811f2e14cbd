"""Which notebooks of a class are found, in every layout that a class comes in."""

import json
import os

import pytest

from checks import STEMS
from checks.learner.class_report.submissions import LARGEST, submissions


def put(path, text="{}"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def only(folder):
    (found,) = submissions(folder, STEMS)
    return found


@pytest.mark.parametrize(
    "place",
    [
        "ann",
        "ann/work",
        "submissions-ann/notebooks",
        "submitted/ann/d1",
        "Ann Смит_123_assignsubmission_file",
    ],
)
def test_a_notebook_is_found_where_each_layout_has_it(tmp_path, place):
    path = put(tmp_path / place / "d1_moe.ipynb")
    found = only(tmp_path)
    assert found.notebooks == {"d1_moe": path}
    assert found.learner == place.removeprefix("submitted/").split("/")[0]


@pytest.mark.parametrize("name", ["d1_moe (1).ipynb", "D1_MoE.ipynb", "d1_moe-2.ipynb"])
def test_a_browsers_names_are_known(tmp_path, name):
    path = put(tmp_path / "ann" / name)
    assert only(tmp_path).notebooks == {"d1_moe": path}


def test_what_the_course_and_jupyter_keep_is_nobodys_answer(tmp_path):
    ann = tmp_path / "ann"
    for place in ("solutions", "tests/old_notebooks", ".ipynb_checkpoints", ".git"):
        put(ann / place / "d1_moe.ipynb")
    put(ann / "d1_moe-checkpoint.ipynb")
    assert only(tmp_path).notebooks == {}


def test_of_a_whole_copy_of_the_course_work_counts_and_the_choice_is_said(tmp_path):
    put(tmp_path / "ann" / "notebooks" / "d1_moe.ipynb")
    mine = put(tmp_path / "ann" / "deep" / "work" / "d1_moe.ipynb")
    found = only(tmp_path)
    assert found.notebooks == {"d1_moe": mine}
    assert found.notes == ("deep/work/d1_moe.ipynb is graded, and not notebooks/d1_moe.ipynb.",)


def test_links_to_others_and_pipes_are_not_followed(tmp_path):
    other = put(tmp_path / "bob" / "d1_moe.ipynb")
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "d1_moe.ipynb").symlink_to(other)
    (tmp_path / "ann" / "more").symlink_to(tmp_path / "bob")
    os.mkfifo(tmp_path / "ann" / "d2_deepseek_moe.ipynb")
    ann, bob = submissions(tmp_path, STEMS)
    assert ann.notebooks == {}
    assert bob.notebooks == {"d1_moe": other}


def test_a_notebook_too_large_to_be_one_is_not_read(tmp_path):
    path = put(tmp_path / "ann" / "d1_moe.ipynb")
    os.truncate(path, LARGEST + 1)
    found = only(tmp_path)
    assert found.notebooks == {}
    assert found.notes == ("d1_moe.ipynb has over 20 MB, and is not read.",)


def test_reports_and_hidden_folders_are_no_learners(tmp_path):
    for name in ("report", ".git", "__pycache__", "ann"):
        (tmp_path / name).mkdir()
    found = submissions(tmp_path, STEMS, [tmp_path / "report"])
    assert [each.learner for each in found] == ["ann"]


@pytest.mark.parametrize(
    ("board", "hints"),
    [
        (json.dumps({"D1.1": {"hints": 2}, "D1.2": {"hints": True}, "D1.3": 3}), {"D1.1": 2}),
        ("no json", {}),
        ("[1]", {}),
        ("[" * 100_000, {}),
    ],
)
def test_hints_come_from_the_board_beside_the_notebooks(tmp_path, board, hints):
    put(tmp_path / "ann" / "d1_moe.ipynb")
    put(tmp_path / "ann" / "progress.json", board)
    assert only(tmp_path).hints == hints


def test_the_digest_changes_with_a_notebook_and_with_the_hints(tmp_path):
    path = put(tmp_path / "ann" / "d1_moe.ipynb")
    digests = {only(tmp_path).digest()}
    path.write_text("{} ", encoding="utf-8")
    digests.add(only(tmp_path).digest())
    put(tmp_path / "ann" / "progress.json", '{"D1.1": {"hints": 1}}')
    digests.add(only(tmp_path).digest())
    assert len(digests) == 3
