"""Points of accuracy against parameters whose area is memory, each with its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.labels import name_points
from reports.figures.scatter import around
from reports.figures.style import LABEL, draw_method, logarithmic, look, panel

__all__ = ["AREA", "Bubble", "draw"]

AREA = 28.0  # square points for a GiB
KEY = (1, 2, 4)  # GiB, shown in the legend


@dataclass(frozen=True)
class Bubble:
    """Parameters in millions, accuracy in %, memory in GiB; `method` chooses colour and marker."""

    label: str
    method: str
    parameters: float
    score: float
    memory: float
    printed: bool

    @property
    def width(self) -> float:
        """The width of the marker in points, whose square is in proportion to memory."""
        return sqrt(AREA * self.memory)


def draw(bubbles: Sequence[Bubble]) -> Drawing:
    """Draw printed points hollow and ours filled; names of printed points are in italics."""
    costs = [bubble.parameters for bubble in bubbles]
    with panel("trainable parameters (M)", "mean of group means (%)") as (drawing, axes):
        logarithmic(axes, "x", costs)
        for bubble in bubbles:
            size = bubble.width / look(bubble.method).size  # the area is memory for every marker
            draw_method(axes, bubble.method, bubble.parameters, bubble.score, size=size, hollow=bubble.printed)
        axes.set_ylim(around([bubble.score for bubble in bubbles]))
        axes.set_xlim(min(costs) / 2.2, max(costs) * 2.2)
        _key(axes)
    _name(axes, bubbles)
    return drawing


def _key(axes: Axes) -> None:
    """What an area means."""
    handles = [axes.scatter([], [], s=AREA * size, facecolor="white", edgecolor="0.35", linewidth=0.6) for size in KEY]
    texts = [f"{size} GiB" for size in KEY]
    axes.legend(handles, texts, loc="lower right", frameon=False, fontsize=LABEL, labelspacing=1.1, borderpad=1.0)


def _name(axes: Axes, bubbles: Sequence[Bubble]) -> None:
    """The names; those of what was printed are grey and in italics. None covers the legend."""
    legend = axes.get_legend()
    corners = axes.transData.inverted().transform(legend.get_window_extent().corners()) if legend else np.empty((0, 2))
    key = [(corners[:, 0].tolist(), corners[:, 1].tolist())] if len(corners) else []
    before = len(axes.texts)
    name_points(
        axes,
        [(bubble.parameters, bubble.score) for bubble in bubbles],
        [bubble.label for bubble in bubbles],
        widths=[bubble.width for bubble in bubbles],
        lines=key,
        textcolor=["0.4" if bubble.printed else "black" for bubble in bubbles],
    )
    for text, bubble in zip(axes.texts[before:], bubbles, strict=True):
        text.set_fontstyle("italic" if bubble.printed else "normal")
