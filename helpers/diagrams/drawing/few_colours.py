"""A small PNG of a drawing: few colours, the flat ones kept exactly."""

import io
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

_FLAT = 1200  # pixels of a colour that is a fill, not the edge of something
_APART = (24, 40, 64, 96, 140, 200, 280)  # of blends at edges, as near as the size allows


def small_png(pixels: UInt8[np.ndarray, "height width 3"], most_bytes: int) -> bytes:
    """The picture as a PNG with a palette; only blends at edges are off, and by as little as fits.

    Distances of colours are sums over red, green and blue, each from 0 to 255. Raises a ValueError
    where even the coarsest palette takes more than `most_bytes`.
    """
    counted: Any = Image.fromarray(pixels).getcolors(1 << 24)  # (how often, colour)
    counted.sort(reverse=True)
    colours = np.array([colour for _, colour in counted])
    flat = sum(count >= _FLAT for count, _ in counted)
    place = np.zeros(1 << 24, dtype=np.int32)
    place[_packed(colours)] = np.arange(len(colours))
    places = place[_packed(pixels)]
    for apart in _APART:
        palette = _palette(colours, flat, apart)
        nearest = abs(colours[:, None] - palette).sum(2).argmin(1).astype(np.uint8)
        png = _encoded(nearest[places], palette)
        if len(png) <= most_bytes:
            return png
    raise ValueError(f"a picture must be at most {most_bytes} bytes, got {len(png)}")


def _packed(colours: np.ndarray) -> np.ndarray:
    """Each colour, along the last axis, as one number."""
    red, green, blue = np.moveaxis(colours.astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _palette(
    colours: Int[np.ndarray, "number 3"], flat: int, apart: int
) -> Int[np.ndarray, "few 3"]:
    """The first `flat` colours, and of the others, in order, those `apart` from all before."""
    kept, left = list(colours[:flat]), colours[flat:]
    for colour in kept:
        left = left[abs(left - colour).sum(1) >= apart]
    while len(left):
        kept.append(left[0])
        left = left[abs(left - left[0]).sum(1) >= apart]
    return np.array(kept[:256])


def _encoded(
    picture: UInt8[np.ndarray, "height width"], palette: Int[np.ndarray, "few 3"]
) -> bytes:
    image, png = Image.fromarray(picture), io.BytesIO()
    image.putpalette(palette.astype(np.uint8).tobytes())
    image.save(png, "png", optimize=True)
    return png.getvalue()
