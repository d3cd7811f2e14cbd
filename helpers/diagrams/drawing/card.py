"""A finished diagram: an opaque picture that reads alike on a light page and on a dark one."""

import base64
from dataclasses import dataclass, field

from matplotlib.figure import Figure
from matplotlib.text import Text

from helpers.diagrams.drawing.box import Box

MOST_BYTES = 60_000


@dataclass(frozen=True)
class Card:
    """A PNG at twice its size on the page, `width` × `height` pixels there.

    `says` is one sentence without measured numbers, so that stored text can be compared; `alt`
    is the alternative text with them. `words` holds each text with the room it has to keep to,
    None where it has no box of its own. Raises a ValueError for more than 60 kB.
    """

    png: bytes = field(repr=False)
    width: int
    height: int
    says: str
    alt: str
    figure: Figure = field(repr=False, compare=False)
    words: tuple[tuple[Text, Box | None], ...] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.png) > MOST_BYTES:
            raise ValueError(
                f"a diagram must be at most {MOST_BYTES} bytes, got {len(self.png)}: {self.says}"
            )

    def __repr__(self) -> str:
        return f"Diagram: {self.says}"

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, str], dict[str, object]]:
        picture = base64.b64encode(self.png).decode()
        shown = {"width": self.width, "height": self.height, "alt": self.alt}
        return {"image/png": picture, "text/plain": repr(self)}, {"image/png": shown}
