"""README's pictures: all there, and none cut off in the middle of a line."""

import re

import numpy as np
import pytest
from PIL import Image

from course import ROOT

NAMES = re.findall(
    r"\((\.github/pictures/[\w-]+\.png)\)", (ROOT / "README.md").read_text(encoding="utf-8")
)


def is_cut_through(picture: Image.Image) -> bool:
    """Whether something dark, a letter's stroke, touches the upper or the lower edge."""
    pixels = np.asarray(picture.convert("L"))
    return bool((pixels[[0, -1]] < 110).any())


def test_every_picture_is_shown():
    kept = {f".github/pictures/{path.name}" for path in (ROOT / ".github/pictures").iterdir()}
    assert kept == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_whole(name):
    assert not is_cut_through(Image.open(ROOT / name))


def test_a_picture_cut_in_a_line_would_be_seen():
    whole = Image.open(ROOT / ".github/pictures/check-fails.png")
    width, height = whole.size
    cuts = [is_cut_through(whole.crop((0, 0, width, height - cut))) for cut in range(1, 25)]
    assert sum(cuts) >= 5
