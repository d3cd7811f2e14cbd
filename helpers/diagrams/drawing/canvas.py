"""What every diagram is drawn with: boxes, texts that fit, and arrows, in pixels of the page.

The figure belongs to no pyplot, and no setting of the reader's changes it.
"""

from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path
from matplotlib.text import Text

from helpers.diagrams.drawing.box import Box, Pixels, Point
from helpers.diagrams.drawing.card import MOST_BYTES, Card
from helpers.diagrams.drawing.few_colours import small_png
from helpers.plots.palette import COLOURS, UNUSUAL, USUAL, text_background

PAPER, INK, QUIET, LINE, EMPTY = "#f7f7f5", "#1f1f1f", "#5a5a5a", "#b9b9b4", "#ececea"
MAIN, SECOND, THIRD = USUAL, UNUSUAL, COLOURS[2]  # blue, vermilion, green
PALE, PALE_SECOND, PALE_THIRD = (text_background(i) for i in range(3))
WIDTH, MARGIN = 820, 24  # of every card, in pixels of the page
NORMAL, SMALL, LEAST = 12.5, 11.0, 9.5  # heights of letters
_HALF_CAPITAL = 0.36  # of a letter's size
_SCALE, _DPI = 2, 100  # pixels of the picture per pixel of the page; pixels of the page per inch


class Canvas:
    """A card of `WIDTH` × `height` with its title, to draw on."""

    def __init__(self, height: Pixels, title: str, note: str = ""):
        self.height = round(height)
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            self.figure = Figure((WIDTH / _DPI, self.height / _DPI), _SCALE * _DPI, facecolor=PAPER)
            self.agg = FigureCanvasAgg(self.figure)
            self.renderer = self.agg.get_renderer()
            self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, WIDTH), ylim=(self.height, 0))
        self.axes.set_axis_off()
        self.words: list[tuple[Text, Box | None]] = []
        whole = Box(0.75, 0.75, WIDTH - 1.5, self.height - 1.5)
        self._rectangle(whole, fill=PAPER, edge="#d2d2cd")
        self.text((MARGIN, 27), title, 15, weight="bold", align="left", most=WIDTH - 2 * MARGIN)
        if note:
            self.text((MARGIN, 48), note, 12, QUIET, align="left", most=WIDTH - 2 * MARGIN)

    def text(
        self,
        at: Point,
        text: str,
        size: Pixels = NORMAL,
        colour: str = INK,
        *,
        weight: str = "normal",
        align: str = "center",
        most: Pixels = WIDTH,
        room: Box | None = None,
        on: str | None = None,
    ) -> Text:
        """`text` on one line, its capitals centred on the height of the point that `align` names.

        It is made smaller, and at last cut, to be at most `most` wide; `on` is its background.
        """
        x, y = at
        drawn = self.axes.text(
            x,
            y + size * _HALF_CAPITAL,
            text,
            fontsize=size * 72 / _DPI,
            color=colour,
            fontfamily="DejaVu Sans",
            fontweight=weight,
            ha=align,
            va="baseline",
            parse_math=False,
            zorder=5,
        )
        self._fit(drawn, size, most)
        if on is not None:
            drawn.set_bbox({"facecolor": on, "edgecolor": "none", "pad": 1.5})
        self.words.append((drawn, room))
        return drawn

    def _fit(self, drawn: Text, size: Pixels, most: Pixels) -> None:
        while self.width_of(drawn) > most and size > LEAST:
            size -= 0.5
            drawn.set_fontsize(size * 72 / _DPI)
        text = drawn.get_text()
        while self.width_of(drawn) > most and len(text) > 1:
            text = text[:-1]
            drawn.set_text(f"{text.rstrip()}…")

    def width_of(self, drawn: Text) -> Pixels:
        """How wide a text is on the page."""
        return drawn.get_window_extent(self.renderer).width / _SCALE

    def box(
        self,
        box: Box,
        text: str = "",
        note: str = "",
        *,
        fill: str = "white",
        edge: str = LINE,
        ink: str = INK,
        size: Pixels = NORMAL,
        weight: str = "normal",
        thick: Pixels = 1.2,
        dashed: bool = False,
        hatch: str | None = None,
        corner: Pixels = 5,
    ) -> Box:
        """A box with a text in its middle and a quiet note under it; both stay inside."""
        self._rectangle(box, fill, edge, thick, dashed, hatch, corner)
        x, y = box.centre
        apart = 9 if text and note else 0
        if text:
            self.text((x, y - apart), text, size, ink, weight=weight, most=box.width - 8, room=box)
        if note:
            colour = _quiet_on(fill)
            self.text((x, y + apart), note, SMALL, colour, most=box.width - 8, room=box)
        return box

    def listing(self, box: Box, heading: str, lines: list[str], *, fill: str, edge: str) -> Box:
        """A box with a bold heading and quiet lines under it."""
        self._rectangle(box, fill, edge, 1.2, corner=5)
        x, y = box.centre
        top = y - 9 * len(lines)
        self.text((x, top), heading, weight="bold", most=box.width - 10, room=box)
        for i, line in enumerate(lines):
            at, most = (x, top + 20 + 17 * i), box.width - 10
            self.text(at, line, SMALL, _quiet_on(fill), most=most, room=box)
        return box

    def _rectangle(
        self,
        box: Box,
        fill: str,
        edge: str,
        thick: Pixels = 1.0,
        dashed: bool = False,
        hatch: str | None = None,
        corner: Pixels = 0,
    ) -> None:
        shape = FancyBboxPatch(
            (box.x, box.y),
            box.width,
            box.height,
            boxstyle=f"round,pad=0,rounding_size={min(corner, box.width / 2, box.height / 2)}"
            if corner
            else "square,pad=0",
            facecolor=fill,
            edgecolor=edge,
            linewidth=thick * 72 / _DPI,
            linestyle=(0, (4, 2.5)) if dashed else "-",
            hatch=hatch,
            zorder=2 if corner or box.width < WIDTH - 2 else 0,
        )
        shape.set_hatch_linewidth(0.6)
        self.axes.add_patch(shape)

    def stack(self, box: Box, colours: list[str]) -> None:
        """Cells of these colours, from top to bottom, that fill the box."""
        for cell, colour in zip(box.stacked(len(colours)), colours, strict=True):
            self.axes.add_patch(
                Rectangle((cell.x, cell.y), cell.width, cell.height, color=colour, lw=0, zorder=2)
            )

    def frame(self, box: Box, edge: str) -> None:
        """A thick outline around what is in the box."""
        self._rectangle(box, "none", edge, 2, corner=3)
        self.axes.patches[-1].set_zorder(3)

    def panel(self, box: Box, fill: str = "#efefec", edge: str = "none") -> Box:
        """A quiet background that holds several boxes together."""
        self._rectangle(box, fill, edge, corner=8)
        self.axes.patches[-1].set_zorder(1)
        return box

    def arrow(
        self,
        start: Point,
        end: Point,
        colour: str = QUIET,
        *,
        thick: Pixels = 1.4,
        bend: str = "",
        head: bool = True,
        dashed: bool = False,
        via: tuple[Point, ...] = (),
    ) -> None:
        """From `start` to `end`; `bend` "h" or "v" leaves and arrives along that axis.

        `via` are corners that a bent-free line passes through.
        """
        patch = FancyArrowPatch(
            path=_curve(start, end, bend) if bend else _rounded([start, *via, end]),
            arrowstyle="-|>,head_length=5,head_width=2.6" if head else "-",
            mutation_scale=72 / _DPI,
            color=colour,
            linewidth=thick * 72 / _DPI,
            linestyle=(0, (4, 2.5)) if dashed else "-",
            shrinkA=0,
            shrinkB=0,
            zorder=1.5,
            joinstyle="miter",
            capstyle="butt",
        )
        self.axes.add_patch(patch)

    def weighted(self, start: Point, end: Point, text: str, colour: str, thick: Pixels = 2) -> None:
        """A line that first runs level through `text`, then bends to `end`."""
        x, y = start
        self.arrow(start, (x + 66, y), colour, thick=thick, head=False)
        self.arrow((x + 65, y), end, colour, thick=thick, head=False, bend="h")
        self.text((x + 34, y), text, SMALL, colour, on=PAPER, weight="bold")

    def sum_sign(self, at: Point, sign: str = "+", radius: Pixels = 13) -> Box:
        """A circle with a sign in it, and the square around it."""
        square = Box(at[0] - radius, at[1] - radius, 2 * radius, 2 * radius)
        circle = Circle(at, radius, facecolor="white", edgecolor=INK, lw=1.4 * 72 / _DPI, zorder=2)
        self.axes.add_patch(circle)
        self.text((at[0], at[1] - 0.8), sign, 16, room=square)
        return square

    def card(self, says: str, alt: str) -> Card:
        """The finished picture, in few colours; raises a ValueError above 60 kB."""
        self.agg.draw()
        pixels = np.asarray(self.agg.buffer_rgba())[..., :3]
        png = small_png(pixels, MOST_BYTES)
        words = tuple(self.words)
        return Card(png, WIDTH, self.height, says, alt, self.figure, words)


def _quiet_on(fill: str) -> str:
    return QUIET if fill in ("white", EMPTY) else "#333333"


def point_on(start: Point, end: Point, part: Pixels, bend: str = "") -> Point:
    """The point at `part` of the way along an arrow, 0 its start and 1 its end."""
    (x0, y0), (x1, y1) = start, end
    eased = part * part * (3 - 2 * part) if bend else part
    if bend == "h":
        return x0 + (x1 - x0) * part, y0 + (y1 - y0) * eased
    return x0 + (x1 - x0) * eased, y0 + (y1 - y0) * part


def _curve(start: Point, end: Point, bend: str) -> Path:
    (x0, y0), (x1, y1) = start, end
    if bend == "h":
        # Thirds make x grow evenly along the curve, so point_on is exact.
        stops = ((x0 + (x1 - x0) / 3, y0), (x1 - (x1 - x0) / 3, y1))
    else:
        stops = ((x0, y0 + (y1 - y0) / 3), (x1, y1 - (y1 - y0) / 3))
    return Path([start, *stops, end], [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])


def _rounded(points: list[Point], radius: Pixels = 7) -> Path:
    """A line through `points`, its corners rounded."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (before, corner), (_, after) in pairwise(pairwise(points)):
        vertices += [_towards(corner, before, radius), corner, _towards(corner, after, radius)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path([*vertices, points[-1]], [*codes, Path.LINETO])


def _towards(start: Point, end: Point, far: Pixels) -> Point:
    (x0, y0), (x1, y1) = start, end
    length = max(abs(x1 - x0) + abs(y1 - y0), 1e-9)
    part = min(far / length, 0.5)
    return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part
