"""The two exchanges of experts on several processes: rows travel out, are run, and travel back.

Letters: K = top_k.
"""

from collections.abc import Sequence
from itertools import chain

from jaxtyping import Int
from torch import Tensor

from helpers.diagrams.drawing.box import Box, Pixels
from helpers.diagrams.drawing.canvas import EMPTY, MARGIN, QUIET, SMALL, WIDTH, Canvas
from helpers.diagrams.drawing.card import Card
from helpers.diagrams.drawing.checked import at_most, counted, listed
from helpers.plots.palette import COLOURS, choices, text_background

MOST_PROCESSES, MOST_ROWS = 4, 10
_TOP, _ROW, _HEAD, _GAP, _PANEL = 104, 26, 30, 14, 204
_COLUMNS = {"out": MARGIN, "run": (WIDTH - _PANEL) / 2, "back": WIDTH - MARGIN - _PANEL}
_HEADINGS = {"out": "rows, by expert", "run": "run where the expert lies", "back": "back at home"}

Row = tuple[int, int, int]  # the process it comes from, its token there, and its expert


def exchanges(experts: Sequence[Int[Tensor, "_ K"]], num_experts: int) -> Card:
    """The rows of each process by the expert that they go to, where they are run, and back home.

    There is one entry of `experts` per process; each process holds its equal share of the experts,
    side by side. What stays is grey, what travels has the colour of the process it comes from.
    """
    at_most("the number of processes", len(experts), MOST_PROCESSES)
    if num_experts % len(experts):
        raise ValueError(f"{len(experts)} processes must divide num_experts={num_experts}")
    share = num_experts // len(experts)
    sent = [_by_expert(p, chosen, num_experts) for p, chosen in enumerate(experts)]
    rows = list(chain.from_iterable(sent))
    at_most("the number of rows", len(rows), MOST_ROWS)
    arrived = [[row for row in rows if row[2] // share == p] for p in range(len(sent))]
    title = f"{counted(num_experts, 'expert')} on {len(sent)} process{'es' * (len(sent) > 1)}"
    away = sum(_travels(row, share) for row in rows)
    note = f"{away} of {counted(len(rows), 'row')} travel out and back, in colour; grey ones stay"
    heights = [_HEAD + _ROW * max(len(a), len(b), 1) for a, b in zip(sent, arrived, strict=True)]
    canvas = Canvas(_TOP + sum(heights) + _GAP * len(heights) + 12, title, note)
    for column, text in _HEADINGS.items():
        canvas.text((_COLUMNS[column] + _PANEL / 2, _TOP - 20), text, weight="bold")
    places = _panels(canvas, heights, sent, arrived, share)
    for row in rows:
        _arrows(canvas, row, places, share)
    says = f"{title}: which rows stay, and which travel out and back"
    return canvas.card(says, _alt(sent, share))


def _panels(
    canvas: Canvas,
    heights: list[int],
    sent: list[list[Row]],
    arrived: list[list[Row]],
    share: int,
) -> dict[tuple[str, Row], Box]:
    """The processes below each other, in three columns, and where each row lies in each."""
    places, top = dict[tuple[str, Row], Box](), _TOP
    for p, height in enumerate(heights):
        holds = f"experts {p * share} to {(p + 1) * share - 1}" if share > 1 else f"expert {p}"
        for column, here in (("out", sent[p]), ("run", arrived[p]), ("back", sent[p])):
            head = f"process {p}: {holds}" if column == "run" else f"process {p}"
            panel = canvas.panel(Box(_COLUMNS[column], top, _PANEL, height))
            places |= _panel(canvas, panel, column, head, here, share)
        top += height + _GAP
    return places


def _arrows(canvas: Canvas, row: Row, places: dict[tuple[str, Row], Box], share: int) -> None:
    colour, thick = _style(row, share)
    for before, after in (("out", "run"), ("run", "back")):
        ends = places[before, row].east, places[after, row].west
        canvas.arrow(*ends, colour, bend="h", thick=thick)


def _by_expert(process: int, chosen: Tensor, num_experts: int) -> list[Row]:
    """The rows of a process in the order in which they leave."""
    if not len(chosen):
        return []
    numbers = choices("experts", chosen, "T K", num_experts)
    rows = [(process, t, int(e)) for t, token in enumerate(numbers) for e in token]
    return sorted(rows, key=lambda row: row[2])


def _travels(row: Row, share: int) -> bool:
    return row[2] // share != row[0]


def _style(row: Row, share: int) -> tuple[str, Pixels]:
    return (COLOURS[row[0]], 1.6) if _travels(row, share) else (QUIET, 0.9)


def _panel(
    canvas: Canvas, panel: Box, column: str, head: str, rows: list[Row], share: int
) -> dict[tuple[str, Row], Box]:
    """A process in one of the columns, and where each row lies in it."""
    canvas.text((panel.x + 10, panel.y + 15), head, SMALL, QUIET, align="left", most=_PANEL - 20)
    first = Box(panel.x + 8, panel.y + _HEAD - 4, panel.width - 16, _ROW - 3)
    if not rows:
        canvas.text(first.centre, "no row", SMALL, QUIET, room=first)
    places = {}
    for i, row in enumerate(rows):
        colour, _ = _style(row, share)
        fill = text_background(row[0]) if _travels(row, share) else EMPTY
        place = first.moved(down=_ROW * i)
        canvas.box(place, _named(row, column), fill=fill, edge=colour, size=SMALL, corner=3)
        places[column, row] = place
    return places


def _named(row: Row, column: str) -> str:
    process, token, expert = row
    if column == "run":
        return f"E{expert}: token {token}, from {process}"
    return f"token {token} {'to' if column == 'out' else 'from'} E{expert}"


def _alt(sent: list[list[Row]], share: int) -> str:
    return " ".join(
        f"Process {p} sends {listed([_told(row, share) for row in rows]) if rows else 'no row'}."
        for p, rows in enumerate(sent)
    )


def _told(row: Row, share: int) -> str:
    where = f"process {row[2] // share}" if _travels(row, share) else "itself"
    return f"token {row[1]} to expert {row[2]} of {where}"
