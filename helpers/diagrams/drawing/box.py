"""Rectangles on a card, in pixels of the page, y downwards."""

from dataclasses import dataclass

Pixels = float | int
Point = tuple[Pixels, Pixels]


@dataclass(frozen=True)
class Box:
    """`x`, `y` is the upper left corner."""

    x: Pixels
    y: Pixels
    width: Pixels
    height: Pixels

    @property
    def right(self) -> Pixels:
        return self.x + self.width

    @property
    def bottom(self) -> Pixels:
        return self.y + self.height

    @property
    def centre(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def west(self) -> Point:
        """The middle of the left side; `east`, `north` and `south` likewise."""
        return self.x, self.centre[1]

    @property
    def east(self) -> Point:
        return self.right, self.centre[1]

    @property
    def north(self) -> Point:
        return self.centre[0], self.y

    @property
    def south(self) -> Point:
        return self.centre[0], self.bottom

    def inner(self, margin: Pixels) -> "Box":
        """The same box without `margin` on each side."""
        return Box(
            self.x + margin, self.y + margin, self.width - 2 * margin, self.height - 2 * margin
        )

    def moved(self, right: Pixels = 0, down: Pixels = 0) -> "Box":
        return Box(self.x + right, self.y + down, self.width, self.height)

    def split(self, parts: int, gap: Pixels = 0) -> list["Box"]:
        """`parts` boxes of equal width beside each other, `gap` between them."""
        width = (self.width - gap * (parts - 1)) / parts
        return [Box(self.x + i * (width + gap), self.y, width, self.height) for i in range(parts)]

    def stacked(self, parts: int, gap: Pixels = 0) -> list["Box"]:
        """`parts` boxes of equal height below each other, `gap` between them."""
        height = (self.height - gap * (parts - 1)) / parts
        return [Box(self.x, self.y + i * (height + gap), self.width, height) for i in range(parts)]
