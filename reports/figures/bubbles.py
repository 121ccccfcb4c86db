"""Points of accuracy against parameters whose area is memory, each labelled beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FuncFormatter, NullLocator

from reports.figures.canvas import panel
from reports.figures.labels import Box, place
from reports.figures.palette import look
from reports.figures.panel import around

__all__ = ["Bubble", "draw"]

AREA = 28.0  # square points for a GiB
LABEL = 6.5  # of the type
NEAR = 4.0  # points between a label and its marker from which on a thin line joins them
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


def draw(bubbles: Sequence[Bubble]) -> Drawing:
    """Printed points first, so that ours lie above them."""
    with panel("trainable parameters (M)", "mean of group means (%)") as (drawing, axes):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        for bubble in bubbles:
            _draw(axes, bubble)
        axes.set_ylim(around([bubble.score for bubble in bubbles]))
        axes.set_xlim(min(b.parameters for b in bubbles) / 2.2, max(b.parameters for b in bubbles) * 2.2)
        _key(axes)
    drawing.set_layout_engine("none")
    _label(axes, bubbles)
    return drawing


def _draw(axes: Axes, bubble: Bubble) -> None:
    style = look(bubble.method)
    axes.scatter(
        bubble.parameters,
        bubble.score,
        s=AREA * bubble.memory,
        marker=style.marker,
        facecolor="white" if bubble.printed else style.color,
        edgecolor="0.35" if bubble.printed else "black",
        linewidth=0.6,
        zorder=2.5 if bubble.printed else 3,
    )


def _key(axes: Axes) -> None:
    """What an area means."""
    handles = [axes.scatter([], [], s=AREA * size, facecolor="white", edgecolor="0.35", linewidth=0.6) for size in KEY]
    texts = [f"{size} GiB" for size in KEY]
    axes.legend(handles, texts, loc="lower right", frameon=False, fontsize=LABEL, labelspacing=1.1, borderpad=1.0)


def _label(axes: Axes, bubbles: Sequence[Bubble]) -> None:
    """The layout must be final, for places are counted in pixels."""
    pixel = axes.figure.dpi / 72
    texts = [
        axes.annotate(
            bubble.label,
            (bubble.parameters, bubble.score),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=LABEL,
            color="0.4" if bubble.printed else "black",
            style="italic" if bubble.printed else "normal",
            zorder=4,
            arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "shrinkA": 0, "shrinkB": 0},
        )
        for bubble in bubbles
    ]
    markers = [_marker(axes, bubble, pixel) for bubble in bubbles]
    sizes = [(box.width, box.height) for box in (text.get_window_extent() for text in texts)]
    legend = axes.get_legend()
    taken = [Box(*legend.get_window_extent().extents)] if legend is not None else []
    boxes = place([*markers, *taken], [*sizes, *((0.0, 0.0) for _ in taken)], Box(*axes.bbox.extents), (), 2 * pixel)
    for text, marker, box in zip(texts, markers, boxes, strict=False):
        (x, y), (a, b) = box.middle, marker.middle
        text.set_position(((x - a) / pixel, (y - b) / pixel))
        if text.arrow_patch is not None:
            text.arrow_patch.set_visible(box.overlap(marker.grown(NEAR * pixel)) == 0)


def _marker(axes: Axes, bubble: Bubble, pixel: float) -> Box:
    x, y = axes.transData.transform((bubble.parameters, bubble.score))
    half = sqrt(AREA * bubble.memory) * pixel / 2
    return Box(x - half, y - half, x + half, y + half)
