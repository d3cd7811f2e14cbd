"""A plot drawn once, for every property that is looked for in its picture."""

from collections.abc import Callable
from dataclasses import dataclass

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

matplotlib.use("Agg")


@dataclass(frozen=True)
class Picture:
    """The figure that a plot left as the current one, what it returned, and how many it opened."""

    figure: Figure
    returned: object
    opened: int


def picture_of(draw: Callable) -> Picture:
    """The picture of a plot, rendered; no figure is open afterwards."""
    plt.close("all")
    returned = draw()
    opened, figure = len(plt.get_fignums()), plt.gcf()
    figure.canvas.draw()
    plt.close("all")
    return Picture(figure, returned, opened)


def opens_one_figure_and_says(picture: Picture, finding: str) -> bool:
    """Whether the plot opened one figure, returned nothing and has the finding as a title."""
    figure = picture.figure
    titles = [figure.get_suptitle(), *(ax.get_title(loc="left") for ax in figure.axes)]
    return picture.returned is None and picture.opened == 1 and finding in titles


def is_cut_off(figure: Figure) -> bool:
    """Whether something that was drawn reaches beyond the figure's edge."""
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    inside = box.x0 > -0.02 and box.x1 < width + 0.02
    return not (inside and box.y0 > -0.02 and box.y1 < height + 0.02)
