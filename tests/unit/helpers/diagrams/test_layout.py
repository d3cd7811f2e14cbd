"""Words lie in their boxes, on no other word and on no edge, whatever is drawn."""

import io
from itertools import combinations

import numpy as np
import pytest
from matplotlib.patches import FancyBboxPatch
from matplotlib.transforms import Bbox
from PIL import Image

from helpers.diagrams.drawing.box import Box
from helpers.diagrams.drawing.canvas import MARGIN, PAPER, WIDTH, Canvas
from helpers.diagrams.drawing.card import MOST_BYTES, Card
from tests.unit.helpers.diagrams.examples import EXAMPLES, example

SCALE, LEAST_SIZE = 2, 9.4
every_example = pytest.mark.parametrize("name", EXAMPLES)


def extents(card: Card) -> list[tuple[str, Bbox, Box | None]]:
    """Each text, where it lies in pixels of the page, y downwards, and its room."""
    renderer = card.figure.canvas.get_renderer()
    found = []
    for drawn, room in card.words:
        box = drawn.get_window_extent(renderer)
        place = Bbox.from_extents(
            box.x0 / SCALE,
            card.height - box.y1 / SCALE,
            box.x1 / SCALE,
            card.height - box.y0 / SCALE,
        )
        found.append((drawn.get_text(), place, room))
    return found


def lies_in(inner: Bbox, outer: Bbox, slack: float = 1.0) -> bool:
    return (
        inner.x0 >= outer.x0 - slack
        and inner.x1 <= outer.x1 + slack
        and inner.y0 >= outer.y0 - slack
        and inner.y1 <= outer.y1 + slack
    )


def bounds(box: Box) -> Bbox:
    return Bbox.from_extents(box.x, box.y, box.right, box.bottom)


def shared_area(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height


def out_of_room(card: Card) -> list[str]:
    return [
        text
        for text, place, room in extents(card)
        if room is not None and not lies_in(place, bounds(room))
    ]


def overlaps(card: Card) -> list[tuple[str, str]]:
    return [
        (one, other)
        for (one, place, _), (other, beside, _) in combinations(extents(card), 2)
        if shared_area(place, beside) > 1
    ]


def on_an_edge(card: Card) -> list[str]:
    """Texts that a box which does not hold them covers in part; sheets behind a box may."""
    boxes = [
        patch.get_bbox()
        for patch in card.figure.axes[0].patches
        if isinstance(patch, FancyBboxPatch)
    ]
    return [
        text
        for text, place, room in extents(card)
        if room is None
        for box in boxes
        if shared_area(place, box) > 1 and not lies_in(place, box)
    ]


@every_example
def test_every_word_lies_in_its_box(name):
    assert out_of_room(example(name)) == []


@every_example
def test_no_two_words_overlap(name):
    assert overlaps(example(name)) == []


@every_example
def test_no_word_lies_on_the_edge_of_a_box(name):
    assert on_an_edge(example(name)) == []


@every_example
def test_every_word_keeps_the_margin_and_is_large_enough(name):
    card = example(name)
    page = Bbox.from_extents(MARGIN, 8, WIDTH - MARGIN, card.height - 8)
    assert [text for text, place, _ in extents(card) if not lies_in(place, page)] == []
    sizes = [drawn.get_fontsize() / 0.72 for drawn, _ in card.words]
    assert min(sizes) >= LEAST_SIZE


@every_example
def test_a_card_is_opaque_small_and_twice_as_fine_as_the_page(name):
    card = example(name)
    picture = Image.open(io.BytesIO(card.png))
    assert picture.size == (SCALE * card.width, SCALE * card.height)
    assert picture.mode == "P" and "transparency" not in picture.info
    assert len(card.png) <= MOST_BYTES
    corner = np.array(picture.convert("RGB"))[40, 40]
    assert "#{:02x}{:02x}{:02x}".format(*corner) == PAPER


@every_example
def test_the_title_is_whole(name):
    title = example(name).words[0][0]
    assert not title.get_text().endswith("…")


def canvas() -> Canvas:
    return Canvas(200, "title")


def test_a_word_outside_its_box_would_be_seen():
    drawn = canvas()
    drawn.text((100, 100), "far too long", room=Box(90, 90, 20, 20))
    assert out_of_room(drawn.card("", "")) == ["far too long"]


def test_words_that_overlap_would_be_seen():
    drawn = canvas()
    drawn.text((100, 100), "one")
    drawn.text((110, 100), "other")
    assert overlaps(drawn.card("", "")) == [("one", "other")]


def test_a_word_on_an_edge_would_be_seen():
    drawn = canvas()
    drawn.box(Box(100, 80, 50, 50))
    drawn.text((100, 100), "word")
    assert on_an_edge(drawn.card("", "")) == ["word"]


def test_a_text_shrinks_and_is_cut_until_it_fits():
    drawn = canvas()
    drawn.box(Box(100, 80, 50, 30), "an endless word")
    card = drawn.card("", "")
    assert out_of_room(card) == []
    assert card.words[-1][0].get_text().endswith("…")
