"""A small PNG of a drawing: few colours, the flat ones kept exactly."""

import io

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

_FLAT = 1200  # pixels of a colour that is a fill, not the edge of something


def png_of(pixels: UInt8[np.ndarray, "height width 3"], apart: int) -> bytes:
    """The picture as a PNG with a palette; a blend at an edge may be off by less than `apart`.

    Distances of colours are sums over red, green and blue, each from 0 to 255.
    """
    packed = pixels.astype(np.int64) @ (1 << 16, 1 << 8, 1)
    counts = np.bincount(packed.ravel(), minlength=1 << 24)
    used = np.flatnonzero(counts)
    used = used[np.argsort(-counts[used], kind="stable")]
    colours = np.stack([used >> 16, used >> 8 & 255, used & 255], axis=1)
    palette = _palette(colours, int((counts[used] >= _FLAT).sum()), apart)
    distances = abs(colours[:, None] - palette).sum(2)
    nearest = np.zeros(1 << 24, dtype=np.uint8)
    nearest[used] = distances.argmin(1)
    picture = Image.fromarray(nearest[packed])
    picture.putpalette(palette.astype(np.uint8).tobytes())
    png = io.BytesIO()
    picture.save(png, "png", optimize=True)
    return png.getvalue()


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
