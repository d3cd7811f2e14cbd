"""The teacher's page, the learners' pages and the table: all is there, and nothing gets out."""

import csv
import io
import re
from html.parser import HTMLParser

import pytest

from checks import CHECKS
from checks.learner.class_report.pages import Report, address, learners_page
from checks.learner.class_report.rows import Graded, Row
from checks.learner.class_report.style import STYLE
from checks.learner.class_report.table import COLUMNS, as_csv, version

NASTY = "<script>alert('1')</script>&\"="
STAGE = "a gate for each choice"


def graded(name, **rows):
    """All passed with seed 7 but for those that are given by the exercise, as D1_2."""
    given = {row.exercise: row for row in rows.values()}
    return Graded(name, tuple(given.get(e) or Row(e, "passed", seed=7) for e in CHECKS))


@pytest.fixture
def grades():
    wrong = Row("D1.2", "wrong", STAGE, f"Expected {NASTY}\nseed=7 · {NASTY}", 2, 7)
    later = Row("D1.3", "wrong", "weights", "no", seed=7)
    return [
        graded("ann", a=wrong, b=later),
        graded("bob", a=Row("D1.3", "unwritten", message="not written yet.")),
        graded(NASTY),
    ]


class Balanced(HTMLParser):
    """Raises unless each element is closed in its order."""

    def __init__(self):
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(text):
    page = Balanced()
    page.feed(text)
    assert page.open == []
    return page


def test_the_pages_are_whole_and_every_link_leads_to_one(tmp_path, grades):
    Report(grades, ["How."]).write(tmp_path)
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) == 1 + len(grades)
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert "<script" not in text.replace("&lt;script", "")
        for link in parsed(text).links:
            file, _, exercise = link.partition("#")
            target = (path.parent / file).read_text(encoding="utf-8")
            assert not exercise or f'id="{exercise}"' in target


def test_the_teacher_sees_whom_an_exercise_stops_at_which_stage(grades):
    page = Report(grades, ["How."]).teachers_page()
    lines = {m[1]: m[0] for m in re.finditer(r"<tr><td>(D\d\.\w+) .*?</tr>", page)}
    assert set(lines) == set(CHECKS)
    lines = {exercise: line.replace("&nbsp;", " ") for exercise, line in lines.items()}
    assert "2 of 3" in lines["D1.2"]
    assert f"{STAGE} (1): <b>" in lines["D1.2"]
    assert "1 of 3" in lines["D1.3"]
    not_stopped, stopped = lines["D1.3"].index(">ann</a>"), lines["D1.3"].index(">bob</a></b>")
    assert "weights (1): <a" in lines["D1.3"][:not_stopped]
    assert "not written yet (1): <b>" in lines["D1.3"][:stopped]
    assert "3 of 3" in lines["D1.1"]
    assert "<ul>" not in lines["D1.1"]


def test_a_learners_page_has_states_stages_hints_and_messages(grades):
    page = learners_page(grades[0])
    line = next(m[0] for m in re.finditer(r'<tr id="D1.2">.*?</tr>', page, re.DOTALL))
    assert f"<b>{STAGE}</b>" in line
    assert "<td>2</td>" in line
    assert "seed=7" in line
    assert "&lt;script&gt;" in line
    assert f"{len(CHECKS) - 2} of {len(CHECKS)} exercises passed." in page


def test_names_that_differ_have_pages_that_differ_on_every_system():
    names = ["ann", "Ann", "анн", "ann/..", "a" * 300, "a" * 301, "..", "", "con", "ann "]
    addresses = {address(name).lower() for name in names}
    assert len(addresses) == len(names)
    assert all(re.fullmatch(r"learners/[\w-]{1,60}\.html", each, re.ASCII) for each in addresses)


def test_both_light_and_dark_screens_have_colours():
    names = set(re.findall(r"var\((--\w+)\)", STYLE))
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)")
    for part in (light, dark.partition("} }")[0]):
        assert names <= set(re.findall(r"(--\w+):", part))


def test_the_table_has_a_line_per_learner_and_exercise(grades):
    text = as_csv(grades)
    assert text.startswith("\ufeff")
    lines = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == len(grades) * len(CHECKS)
    (line,) = (each for each in lines if each["learner"] == "ann" and each["exercise"] == "D1.2")
    assert line["lesson"] == "d1_moe"
    assert (line["name"], line["state"], line["stage"]) == ("ExpertArray", "wrong", STAGE)
    assert (line["hints"], line["seed"], line["version"]) == ("2", "7", version())


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@sum", "\t=1"])
def test_no_name_is_a_formula(name):
    lines = csv.DictReader(io.StringIO(as_csv([graded(name)]).removeprefix("\ufeff")))
    assert {line["learner"][0] for line in lines} <= {"'", "?"}
