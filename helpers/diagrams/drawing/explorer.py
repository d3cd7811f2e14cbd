"""A diagram that follows sliders."""

import html
from collections.abc import Callable

import ipywidgets as widgets

from helpers.diagrams.drawing.card import Card

NAMES_WIDTH = {"description_width": "6em"}


class DiagramExplorer(widgets.VBox):
    """Sliders above the card that `draw(**values)` makes again when one of them moves.

    What `draw` raises is raised by the constructor, and later shown as one line in place of the
    card. A reader without a kernel sees the first card.
    """

    def __init__(self, name: str, draw: Callable[..., Card], **sliders: widgets.Widget):
        self.name, self.draw, self.sliders = name, draw, sliders
        self.card = draw(**self.values)
        self.message = widgets.HTML()
        size = {"width": "100%", "max_width": f"{self.card.width}px"}
        self.picture = widgets.Image(format="png", value=self.card.png, layout=size)
        super().__init__([*sliders.values(), self.message, self.picture])
        for slider in sliders.values():
            slider.style = NAMES_WIDTH
            slider.observe(self._redraw, names="value")

    @property
    def values(self) -> dict[str, object]:
        """The sliders' current values, with which `draw` is called."""
        return {name: slider.value for name, slider in self.sliders.items()}

    def _redraw(self, change: object) -> None:
        try:
            self.card, self.message.value = self.draw(**self.values), ""
            self.picture.value = self.card.png
        except Exception as error:
            line = " ".join(f"{type(error).__name__}: {error}".split())
            self.message.value = f"<b>{html.escape(line)}</b>"
        self.picture.layout.display = "none" if self.message.value else None

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value}' for name, value in self.values.items())})"

    def _repr_mimebundle_(self, **kwargs: object) -> tuple[dict[str, object], dict[str, object]]:
        data, metadata = self.card._repr_mimebundle_()
        return super()._repr_mimebundle_(**kwargs) | {"image/png": data["image/png"]}, metadata
