"""A notebook's file that is no notebook: the line, and an advice that loses nothing."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from checks.learner_files.notebook import UnreadableNotebook, read


@pytest.fixture
def path(tmp_path):
    """A notebook with one cell."""
    file = tmp_path / "d1_moe.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), file)
    return file


def refusal(path) -> str:
    with pytest.raises(UnreadableNotebook) as refused:
        read(path)
    return str(refused.value)


def test_a_byte_order_mark_does_no_harm(path):
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [cell.source for cell in read(path)] == ["x = 1"]


def test_conflict_markers_are_named_by_line(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    conflict = ["<<<<<<< HEAD", lines[3], "=======", lines[3], ">>>>>>> update"]
    path.write_text("\n".join([*lines[:3], *conflict, *lines[4:]]), encoding="utf-8")
    said = refusal(path)
    assert "git's conflict markers begin in line 4. Copy the file aside" in said


def test_broken_json_is_named_by_line(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines[:5], "oops", *lines[5:]]), encoding="utf-8")
    said = refusal(path)
    assert "(line 6: " in said and "Move it aside, then let `python3 course.py lab`" in said


def test_a_checkpoint_is_offered_where_there_is_one(path):
    kept = path.parent / ".ipynb_checkpoints" / "d1_moe-checkpoint.ipynb"
    kept.parent.mkdir()
    path.replace(kept)
    path.write_text("{", encoding="utf-8")
    assert "take d1_moe-checkpoint.ipynb from work/.ipynb_checkpoints, or let" in refusal(path)


@pytest.mark.parametrize("text", ["", "[1]", "[" * 100_000, "null", '{"nbformat": 4}'])
def test_whatever_the_file_holds_costs_one_sentence(path, text):
    path.write_text(text, encoding="utf-8")
    assert "cannot be read as a notebook" in refusal(path)
