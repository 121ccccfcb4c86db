"""Places for names in a figure, always the same, so that none covers another, a marker or the edge."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import textalloc
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.layout_engine import ConstrainedLayoutEngine

from reports.figures.style import LABEL, point_id

__all__ = ["apart", "height_for", "make_room", "name_ends", "name_points"]

Curve = tuple[Sequence[float], Sequence[float]]  # x and y

SIZE = 6.0  # of the type at the ends of lines
STEP = 6.9  # points between two names there
LEADER = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.55", "shrinkA": 0, "shrinkB": 2.5, "relpos": (0, 0.5)}
LETTER = 0.6  # width of a letter in its size
AROUND = 0.75  # inches of a figure above and below its axes
REACH = 15.0  # points from the end of a line to its name


def name_points(
    axes: Axes,
    places: Sequence[tuple[float, float]],
    names: Sequence[str],
    *,
    widths: Sequence[float],
    others: Sequence[tuple[float, float]] = (),
    lines: Sequence[Curve] = (),
    **words: Any,
) -> None:
    """Write a name beside each point by textalloc, joined to it by a thin line. The layout must be final.

    Text and line carry `point_id` of the name as their id in an SVG.

    Args:
        places: The points, in the units of the data.
        names: A name for each.
        widths: The width in points of the marker at each place and at each of `others`.
        others: More points that no name may cover.
        lines: Curves that names avoid where there is room.
        words: Passed on to textalloc, for the text.
    """
    if not names:
        return
    pixel = cast(Drawing, axes.get_figure(root=True)).dpi / 72
    radii = [width * pixel / 2 for width in widths]
    every = [*places, *others]
    given: dict[str, Any] = {
        "x_scatter": [x for x, _ in every],
        "y_scatter": [y for _, y in every],
        "scatter_sizes": radii,  # in pixels
        "text_scatter_sizes": radii[: len(names)],
        "x_lines": [x for x, _ in lines] or None,
        "y_lines": [y for _, y in lines] or None,
        "textsize": LABEL,
        "linecolor": "0.4",
        "linewidth": 0.4,
        "margin": 0.006,  # of the axes, as are the distances
        "min_distance": 0.003,
        "max_distance": 0.5,
        "nbr_candidates": 800,
        "zorder": 4,
        **words,
    }
    *_, texts, joins = textalloc.allocate(axes, [x for x, _ in places], [y for _, y in places], list(names), **given)
    drawn: list[tuple[str, Any]] = [*zip(names, texts, strict=True), *zip(names, joins, strict=False)]
    for name, artist in drawn:  # without lines where none are to be drawn
        if artist is not None:
            artist.set_gid(point_id(name))


def name_ends(axes: Axes, names: Sequence[str], ends: Sequence[tuple[float, float]]) -> None:
    """Write a name for each end (x, y of the data) in a column on the right of the axes. The layout must be final."""
    pixel = cast(Drawing, axes.get_figure(root=True)).dpi / 72
    frame = axes.bbox
    places = (axes.transData.transform(np.array(ends).reshape(-1, 2)) / pixel).tolist()
    heights = apart([y for _, y in places], STEP, frame.y0 / pixel, frame.y1 / pixel - SIZE / 2)
    for name, (x, y), height, end in zip(names, places, heights, ends, strict=True):
        axes.annotate(
            name,
            end,
            xytext=(frame.x1 / pixel - x + REACH, height - y),
            textcoords="offset points",
            ha="left",
            va="center",
            fontsize=SIZE,
            annotation_clip=False,
            arrowprops=LEADER,
        )


def height_for(names: int, least: float) -> float:
    """Return the height of a figure, in inches, in which so many names stand above each other."""
    return max(least, STEP * names / 72 + AROUND)


def make_room(drawing: Drawing, columns: int, names: Iterable[str]) -> None:
    """Leave space for names on the right of each of so many columns of axes; before the layout is final."""
    if drawing.get_figure(root=True) is not drawing:  # a part of a figure of one's own, whose layout is not ours
        return
    engine = cast(ConstrainedLayoutEngine, drawing.get_layout_engine())
    inches = (REACH + LETTER * SIZE * max(map(len, names))) / 72
    share = inches / float(drawing.get_figwidth())
    engine.set(rect=(0, 0, 1 - share, 1), wspace=share * columns if columns > 1 else None)


def apart(wanted: Sequence[float], step: float, low: float, high: float) -> list[float]:
    """Move places until they are `step` apart: in their order, near where they were, inside the limits if they fit."""
    order = sorted(range(len(wanted)), key=lambda place: wanted[place])
    groups: list[tuple[int, float]] = []  # of neighbours that touch: how many, and the middle of all
    for place in order:
        groups.append((1, min(max(wanted[place], low), high)))
        while len(groups) > 1 and groups[-1][1] - groups[-2][1] < step * (groups[-1][0] + groups[-2][0]) / 2:
            (many, middle), (few, other) = groups.pop(), groups.pop()
            count = many + few
            half = step * (count - 1) / 2
            centre = (many * middle + few * other) / count
            groups.append((count, max(min(centre, high - half), low + half)))
    spread = [middle + step * (i - (count - 1) / 2) for count, middle in groups for i in range(count)]
    placed = dict(zip(order, spread, strict=True))
    return [placed[place] for place in range(len(wanted))]
