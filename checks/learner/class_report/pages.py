"""The class as plain pages: one for the teacher, and one for each learner with the messages."""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import checks
from checks.learner.class_report.kept import file_name
from checks.learner.class_report.rows import PASSED, WORDS, Graded, Row
from checks.learner.class_report.style import STYLE
from helpers.atomic_file import write_atomically

SYMBOLS = {"passed": "✓", "borrowed": "◐", "unwritten": "·", "missing": "·", "not run": "·"}
FAILED = "✗"
LEGEND = "✓ passed, ◐ borrowed from the reference, · nothing that was judged, ✗ not passed."
GAPS = {WORDS[state] for state in ("unwritten", "missing", "not run")}


@dataclass(frozen=True)
class Report:
    """The grades and, in sentences, how they were made."""

    grades: Sequence[Graded]
    how: Sequence[str]

    def write(self, folder: Path) -> None:
        """`folder` has the teacher's `index.html` and a page per learner in `learners/`."""
        (folder / "learners").mkdir(parents=True, exist_ok=True)
        for graded in self.grades:
            write_atomically(folder / address(graded.learner), learners_page(graded))
        write_atomically(folder / "index.html", self.teachers_page())

    def teachers_page(self) -> str:
        """Which exercise stops whom at which stage, and the class as one table."""
        how = "".join(_element("p", sentence) for sentence in self.how)
        parts = [_element("h1", "The class"), how, self._stops(), self._everybody()]
        return page("The class", *parts)

    def _stops(self) -> str:
        lines = [self._exercise_line(exercise) for exercise in checks.CHECKS]
        head = _line("th", map(html.escape, ("exercise", "passed", "stops", "where it fails")))
        text = "A learner stops at the first exercise that is not passed: these names are bold."
        title = _element("h2", "Which exercise stops whom, and at which stage")
        return f"{title}{_element('p', text)}{_table([head, *lines])}"

    def _exercise_line(self, exercise: str) -> str:
        """Its share of the class that passed it, and whom it stops, by stage."""
        of = {
            graded: row for graded in self.grades for row in graded.rows if row.exercise == exercise
        }
        passed = sum(row.done for row in of.values())
        stops = [graded for graded, row in of.items() if graded.stops_at == row]
        share = f"{passed}&nbsp;of&nbsp;{len(of)}"
        bar = f'<meter max="{len(of)}" value="{passed}"></meter> {share}'
        where = "".join(_stage(*at, stops) for at in _by_stage(of).items())
        name = html.escape(f"{exercise} {checks.CHECKS[exercise].name}")
        return _line("td", [name, bar, str(len(stops) or ""), f"<ul>{where}</ul>" if where else ""])

    def _everybody(self) -> str:
        """A line per learner, a symbol per exercise; each symbol leads to its message."""
        heads = [f'<th class="tall"><span>{html.escape(e)}</span></th>' for e in checks.CHECKS]
        head = f"<tr><th>learner</th><th>passed</th>{''.join(heads)}</tr>"
        lines = [_learners_line(graded) for graded in self.grades]
        title = _element("h2", "Everybody") + _element("p", LEGEND)
        return f'{title}<div class="wide">{_table([head, *lines])}</div>'


def address(learner: str) -> str:
    """A learner's page, from the report's folder on."""
    return f"learners/{file_name(learner)}.html"


def learners_page(graded: Graded) -> str:
    """A learner's states by lesson, each with where it failed and what the check said."""
    passed = sum(row.done for row in graded.rows)
    back = '<p><a href="../index.html">The class</a></p>'
    said = _element("p", f"{passed} of {len(graded.rows)} exercises passed.")
    notes = "".join(_element("li", note) for note in graded.notes)
    lines = [_message_line(row) for row in graded.rows]
    head = _line("th", ("exercise", "state", "hints", "what the check said"))
    parts = [_element("h1", graded.learner), said, f"<ul>{notes}</ul>" if notes else ""]
    return page(graded.learner, back, *parts, _table([head, *lines]))


def page(title: str, *parts: str) -> str:
    """A whole page that needs no other file."""
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    head += '<meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _message_line(row: Row) -> str:
    name = html.escape(f"{row.exercise} {checks.CHECKS[row.exercise].name}")
    state = f"{_symbol(row)} {html.escape(WORDS[row.state])}"
    stage = f"<b>{html.escape(row.stage)}</b>" if row.stage else ""
    first, _, others = row.message.partition("\n")
    said = stage + (_element("p", first) if first else "")
    said += f"<pre>{html.escape(others)}</pre>" if others else ""
    cells = "".join(f"<td>{text}</td>" for text in (name, state, str(row.hints or ""), said))
    return f'<tr id="{html.escape(row.exercise)}">{cells}</tr>'


def _learners_line(graded: Graded) -> str:
    link = f"{quote(address(graded.learner))}"
    name = f'<td><a href="{link}">{html.escape(graded.learner)}</a></td>'
    passed = f"<td>{sum(row.done for row in graded.rows)}</td>"
    return f"<tr>{name}{passed}{''.join(_mark(row, link) for row in graded.rows)}</tr>"


def _mark(row: Row, link: str) -> str:
    said = " · ".join(filter(None, [row.exercise, WORDS[row.state], row.stage]))
    attributes = f'class="mark" title="{html.escape(said)}"'
    return f'<td {attributes}><a href="{link}#{quote(row.exercise)}">{_symbol(row)}</a></td>'


def _symbol(row: Row) -> str:
    kind = "done" if row.state in PASSED else "open" if row.state in SYMBOLS else "failed"
    return f'<span class="{kind}">{SYMBOLS.get(row.state, FAILED)}</span>'


def _by_stage(of: Mapping[Graded, Row]) -> dict[str, list[Graded]]:
    """The learners who have not passed, by the stage that fails or else by the state."""
    found: dict[str, list[Graded]] = {}
    for graded, row in of.items():
        if not row.done:
            state = WORDS[row.state]
            at = f"{row.stage}: {state}" if row.stage and row.state != "wrong" else row.stage
            found.setdefault(at or state, []).append(graded)
    return dict(sorted(found.items(), key=lambda pair: -len(pair[1])))


def _stage(stage: str, learners: Sequence[Graded], stops: Sequence[Graded]) -> str:
    """One stage with everybody who fails there; of gaps only those whom they stop, and how many."""
    here = [graded for graded in learners if graded in stops]
    others = [graded for graded in learners if graded not in stops]
    names = [f"<b>{_link(graded)}</b>" for graded in here]
    names += [] if stage in GAPS else [_link(graded) for graded in others]
    said = f"{html.escape(stage)} ({len(learners)})"
    return f"<li>{said}{': ' if names else ''}{', '.join(names)}</li>"


def _link(graded: Graded) -> str:
    return f'<a href="{quote(address(graded.learner))}">{html.escape(graded.learner)}</a>'


def _element(name: str, text: str) -> str:
    return f"<{name}>{html.escape(text)}</{name}>"


def _line(kind: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{cell}</{kind}>' for cell in cells)}</tr>"


def _table(lines: Iterable[str]) -> str:
    return f"<table>{''.join(lines)}</table>"
