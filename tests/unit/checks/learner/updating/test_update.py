"""`course.py update`: what is new arrives, and whatever the learner wrote is still there."""

from copy import deepcopy

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output

from checks.learner.updating import lessons
from checks.learner.updating.cells import code_cells
from checks.learner.updating.fates import note
from checks.learner.updating.update import update
from checks.learner_files.answers import answers
from tests.unit.checks.learner.updating.editors import EDITORS
from tests.unit.checks.learner.updating.small_course import (
    MY_ONE,
    MY_TWO,
    ONE,
    TWO,
    TWO_ANEW,
    exercise,
    first,
    second,
    text,
)

NOTE = new_markdown_cell("My note: the router is one linear map.")
SCRATCH = new_code_cell("print(one(3), 'mine')")
NAMES = {"D1.1": "one", "D1.2": "two"}


def solved(note_at: int = 5) -> list:
    """The first version with both exercises written, a note and a cell of the learner's own."""
    cells = first()
    cells[3].source, cells[7].source = MY_ONE, MY_TWO
    cells[3].outputs = [new_output("stream", text="mine")]
    return [*cells[:note_at], deepcopy(NOTE), deepcopy(SCRATCH), *cells[note_at:]]


def sources(cells: list) -> list[str]:
    return [cell.source for cell in cells]


def answer(course, name: str) -> str:
    return answers(code_cells(course.mine), NAMES)[name].source.strip()


def test_a_notebook_that_nobody_touched_becomes_the_newer_one(course):
    course.release(second())
    assert update() == 0
    assert course.cells() == second()
    assert course.base.read_bytes() == lessons.of_the_course("d1_moe").read_bytes()


def test_what_the_learner_wrote_stays_and_what_is_new_arrives(course, capsys):
    course.save(solved())
    course.release(second())
    assert update() == 0
    expected = sources(second())
    expected[8:9] = [note(second()[8]).source, MY_TWO]
    expected[4] = MY_ONE
    expected[6:6] = [NOTE.source, SCRATCH.source]
    assert course.sources() == expected
    assert next(c for c in course.cells() if c.source == MY_ONE).outputs[0].text == "mine"
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "d1_moe.ipynb: 3 changed, 1 new, 1 gone"
    assert "  new: What a router does, told anew." in said
    assert "  gone: An end that will go." in said
    assert any(line.startswith("  changed, and your answer stays below") for line in said)
    assert "work/.course/backups/0001-" in said[-1]


def test_of_many_changes_those_that_meet_the_learners_own_are_told_first(course, capsys):
    course.save(solved())
    course.release([*(text(f"A new text {number}.") for number in range(30)), *second()])
    update()
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("  changed, and your answer stays below")
    assert said[2:4] == ["  new: A new text 0.", "  new: A new text 1."]
    assert said[22] == "  and 14 more" and len(said) == 24


def test_a_second_update_finds_nothing_new_and_writes_nothing(course, capsys):
    course.save(solved())
    course.release(second())
    update()
    before = course.mine.read_bytes()
    capsys.readouterr()
    assert update() == 0
    assert capsys.readouterr().out == "d1_moe.ipynb: nothing new.\n"
    assert course.mine.read_bytes() == before and len(course.backups()) == 1


def test_the_note_of_a_changed_exercise_takes_the_place_of_the_one_before(course):
    course.save(solved())
    for stub in (TWO_ANEW, TWO_ANEW.replace("y", "z")):
        newer = second()
        newer[8].source = stub
        course.release(newer)
        update()
    notes = [source for source in course.sources() if "has changed since" in source]
    assert len(notes) == 1 and "def two(x, z)" in notes[0]


def test_an_exercise_not_begun_becomes_the_newer_one(course):
    course.release(second())
    update()
    assert TWO_ANEW in course.sources() and TWO not in course.sources()


def test_a_text_that_both_changed_is_there_twice(course, capsys):
    mine = first()
    mine[2].source += " My remark."
    course.save(mine)
    course.release(second())
    update()
    at = course.sources().index(second()[3].source)
    assert course.sources()[at + 1] == mine[2].source
    assert "and yours, which you had changed too" in capsys.readouterr().out


def test_what_the_learner_changed_or_deleted_stays_so_where_the_lesson_did_not_change(course):
    mine = first()
    mine[6].source = "print(one(0) + 1)"
    course.save([cell for i, cell in enumerate(mine) if i not in (4, 5)])
    course.release(second())
    update()
    assert "print(one(0) + 1)" in course.sources() and "print(one(0))" not in course.sources()
    assert "check_one(one)" not in course.sources()


def test_the_learners_order_stays(course):
    cells = solved()
    course.save([*cells[:3], *cells[9:11], *cells[3:9], *cells[11:]])
    course.release(second())
    update()
    now = course.sources()
    assert now.index(MY_TWO) < now.index(MY_ONE) < now.index(NOTE.source)
    assert now[now.index(MY_TWO) - 1] == note(second()[8]).source
    assert second()[2].source in now and first()[9].source not in now


def test_a_section_that_moved_takes_its_answers_and_notes_along(course):
    course.save(solved(note_at=10))
    cells = first()
    course.release([*cells[:3], *cells[7:9], *cells[3:7], cells[9]])
    update()
    now = course.sources()
    assert now.index(MY_TWO) < now.index(MY_ONE) < now.index("print(one(0))")
    assert now[-2:] == [NOTE.source, SCRATCH.source]


def split(cells: list) -> list:
    """The second exercise cut in two, as Split Cell does it: both halves have its tags."""
    head, tail = exercise("D1.2", "HALF = 1"), exercise("D1.2", MY_TWO)
    tail.id = "abcd1234"
    return [*cells[:7], head, tail, *cells[8:]]


def doubled(cells: list) -> list:
    """An older try above and the answer below its check, both with the exercise's tags."""
    again = exercise("D1.2", MY_TWO)
    again.id = "abcd1234"
    cells[7].source = MY_TWO.replace("+ 1", "+ 2")
    return [*cells[:9], again, *cells[9:]]


def elsewhere(cells: list) -> list:
    """The exercise's cell is deleted, and its answer stands in a cell with more in it."""
    return [*cells[:7], new_code_cell(f"{MY_TWO}\nprint(two(1))"), *cells[8:]]


def both_in_one(cells: list) -> list:
    return [*cells[:3], new_code_cell(f"{MY_ONE}\n\n\n{MY_TWO}"), *cells[4:7], *cells[8:]]


def half_written(cells: list) -> list:
    cells[7].source = "def two(x):\n    return one(x +"
    return cells


@pytest.mark.parametrize("base", ["kept", "lost"])
@pytest.mark.parametrize("made", [split, doubled, elsewhere, both_in_one, half_written])
def test_the_same_code_is_the_answer_afterwards(course, made, base):
    course.save(made(first()))
    before = course.sources(), answer(course, "D1.2")
    if base == "lost":
        course.base.unlink()
    course.release(second())
    assert update() == 0
    assert answer(course, "D1.2") == before[1]
    own = [source for source in before[0] if source not in sources(first())]
    assert [source for source in course.sources() if source in own] == own


@pytest.mark.parametrize("editor", EDITORS)
@pytest.mark.parametrize("base", ["kept", "lost"])
def test_whatever_saved_it_nothing_is_lost_and_answers_stay(course, editor, base):
    course.save(solved())
    course.mine.write_bytes(editor(course.mine.read_bytes()))
    if base == "lost":
        course.base.unlink()
    course.release(second())
    assert update() == 0
    assert [answer(course, name) for name in NAMES] == [MY_ONE, MY_TWO]
    assert {NOTE.source, SCRATCH.source, *sources(second())} - {ONE, TWO_ANEW} <= {
        *course.sources()
    }
    by_id = {cell.id: cell for cell in course.cells()}
    assert len(by_id) == len(course.cells())
    assert by_id["exercise-D1-1"].metadata.tags == ["exercise"]
    assert by_id["exercise-D1-1"].source == MY_ONE
    assert update() == 0
    assert len(course.backups()) == 1


@pytest.mark.parametrize("editor", EDITORS)
def test_with_the_base_old_text_goes_whatever_saved_it(course, editor):
    course.save(solved())
    course.mine.write_bytes(editor(course.mine.read_bytes()))
    course.release(second())
    update()
    gone = {*sources(first())} - {*sources(second())}
    assert not gone & {*course.sources()}


def test_without_a_base_untouched_text_is_known_by_its_id(course, capsys):
    course.save(solved())
    course.base.unlink()
    course.release(second())
    update()
    gone = {*sources(first())} - {*sources(second())}
    assert not gone & {*course.sources()}
    assert "work/.course/base has no copy" in capsys.readouterr().out
    assert course.base.is_file()


def test_without_a_base_an_answer_to_an_exercise_that_asks_the_same_has_no_note(course):
    course.save(solved())
    course.base.unlink()
    course.release(second())
    update()
    notes = [source for source in course.sources() if "has changed since" in source]
    assert notes == [note(second()[8]).source]


def test_a_base_that_the_notebook_cannot_be_made_from_is_not_believed(course):
    """The notebook was brought from elsewhere, or the update before was killed half way."""
    course.save(solved())
    course.release(second())
    course.base.write_bytes(lessons.of_the_course("d1_moe").read_bytes())
    update()
    assert text("What a router does, told anew.").source in course.sources()
    assert first()[9].source not in course.sources()


def test_an_update_killed_before_it_kept_the_base_goes_on(course):
    course.save(solved())
    course.release(second())
    old = course.base.read_bytes()
    update()
    after = course.mine.read_bytes()
    course.base.write_bytes(old)
    update()
    assert course.mine.read_bytes() == after
    assert course.base.read_bytes() == lessons.of_the_course("d1_moe").read_bytes()


def test_pasted_pictures_and_tags_of_ones_own_stay(course):
    mine = first()
    mine[2]["attachments"] = {"mine.png": {"image/png": "AAAA"}}
    mine[3].metadata.tags.append("mine")
    course.save(mine)
    course.release(second())
    update()
    kept = next(cell for cell in course.cells() if "attachments" in cell)
    assert kept.source == mine[2].source
    own = next(cell for cell in course.cells() if cell.id == "exercise-D1-1")
    assert own.metadata.tags == ["exercise", "mine"]


def test_an_exercise_that_is_gone_leaves_its_answer(course):
    course.save(solved())
    course.release([cell for cell in second() if cell.metadata.get("exercise") != "D1.2"])
    update()
    assert MY_TWO in course.sources() and "check_two(two)" not in course.sources()
