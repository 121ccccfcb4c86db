"""Writes the name of each method beside its point, where there is room."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation

from reports.figures.labels import Box, place
from reports.figures.panel import MARKER, Point, named, staircase

__all__ = ["annotate"]

FAR = 4.0  # points between a label and its marker from which on a thin line joins them
SIZE = 6.5  # of the type


def annotate(axes: Axes, points: Sequence[Point]) -> list[Annotation]:
    """Label every point, of a crowd of settings of one method only some (`named`); labels cover no point.

    The layout must be final, for places are counted in pixels of the finished figure.
    """
    labels = named(points)
    pixel = cast(Figure, axes.get_figure(root=True)).dpi / 72  # pixels in a point
    markers = [_marker(axes, point, MARKER * pixel) for point in points]
    sizes = [_size(axes, point.label) if point.label in labels else (0.0, 0.0) for point in points]
    boxes = place(markers, sizes, Box(*axes.bbox.padded(-pixel).extents), _lines(axes, points), 2 * pixel)
    triples = zip(points, markers, boxes, strict=True)
    return [_write(axes, *each, pixel) for each in triples if each[0].label in labels]


def _write(axes: Axes, point: Point, marker: Box, box: Box, pixel: float) -> Annotation:
    """The label in the middle of its box; a box far from its marker is joined to it."""
    x, y = axes.transData.transform((point.cost, point.score))
    middle = ((box.left + box.right) / 2 - x) / pixel, ((box.bottom + box.top) / 2 - y) / pixel
    near = box.overlap(marker.grown(FAR * pixel)) > 0
    return axes.annotate(
        point.label,
        (point.cost, point.score),
        xytext=middle,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=SIZE,
        zorder=4,
        arrowprops=None if near else {"arrowstyle": "-", "linewidth": 0.4, "color": "0.4", "shrinkA": 0, "shrinkB": 2},
    )


def _marker(axes: Axes, point: Point, size: float) -> Box:
    """The marker with its error bar."""
    x, low = axes.transData.transform((point.cost, point.score - point.spread))
    _, high = axes.transData.transform((point.cost, point.score + point.spread))
    middle = (low + high) / 2
    return Box(x - size / 2, min(low, middle - size / 2), x + size / 2, max(high, middle + size / 2))


def _size(axes: Axes, label: str) -> tuple[float, float]:
    """Width and height of a label in pixels."""
    text = axes.text(0, 0, label, fontsize=SIZE)
    extent = text.get_window_extent()
    text.remove()
    return extent.width, extent.height


def _lines(axes: Axes, points: Sequence[Point]) -> list[Box]:
    """The frontier, step by step."""
    corners = axes.transData.transform(staircase(points, axes.get_xlim()[1])).tolist()
    return [Box(min(a, c) - 1, min(b, d) - 1, max(a, c) + 1, max(b, d) + 1) for (a, b), (c, d) in pairwise(corners)]
