"""A widget to write with a story model: a beginning, a temperature, and the story it makes of them.

The text is shown in an HTML widget, since `Output` would break the comparison of stored outputs.
"""

import html

import ipywidgets as widgets
import torch
from torch import nn

from helpers.data.story_rows import StoryRows
from helpers.measuring.story_measures import Generate, sample_stories
from helpers.measuring.traffic import layers_of
from helpers.model.device import device_of
from helpers.plots.coloured_text import ColouredText, colour_text


@torch.no_grad()
def show_experts(model: nn.Module, rows: StoryRows, text: str, layer: int = 0) -> ColouredText:
    """`text` with each token in the colour of the first expert that the router of `layer` chose."""
    layers = layers_of(model)
    if not 0 <= layer < len(layers):
        raise ValueError(f"layer must be between 0 and {len(layers) - 1}, got {layer}")
    ids = rows.prompt(text).to(device_of(model))
    model(ids)
    segments = len(layers[layer].last_experts) // ids.shape[1]
    first = layers[layer].last_experts[::segments, 0]
    return colour_text(rows.pieces(ids[0, 1:]), first[1:], len(layers[layer].experts))


class StoryBox(widgets.VBox):
    """A beginning, a temperature and a button above the story that the model makes of them."""

    def __init__(self, model: nn.Module, rows: StoryRows, generate: Generate, layer: int = 0):
        self.model, self.rows, self.generate, self.layer = model, rows, generate, layer
        wide = {"description_width": "7em"}
        self.beginning = widgets.Text(
            value="Mila the fox", description="beginning", style=wide, continuous_update=False
        )
        self.temperature = widgets.FloatSlider(
            value=0.8, min=0.0, max=2.0, step=0.1, description="temperature", style=wide
        )
        self.button = widgets.Button(description="write")
        self.story = widgets.HTML()
        self.button.on_click(lambda _: self.write())
        self.write()
        super().__init__([self.beginning, self.temperature, self.button, self.story])

    def write(self) -> None:
        """Shows a new story, coloured by expert, or an error as one line in its place."""
        try:
            (text,) = sample_stories(
                self.model,
                self.rows,
                self.generate,
                1,
                temperature=self.temperature.value,
                prompt=self.beginning.value,
            )
            self.story.value = show_experts(self.model, self.rows, text, self.layer)._repr_html_()
        except Exception as error:
            line = " ".join(f"{type(error).__name__}: {error}".split())
            self.story.value = f"<b>{html.escape(line)}</b>"

    def __repr__(self) -> str:
        return "StoryBox: run this cell to write"

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, object]:
        # A reader without a kernel, GitHub for one, sees the first story.
        return super()._repr_mimebundle_(**kwargs) | {"text/html": self.story.value}
