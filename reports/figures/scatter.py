"""Trade-off figures: a point for each method, accuracy against a cost, and the Pareto frontier as a staircase."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from reports.figures.labels import Curve, name_points
from reports.figures.style import MARKER, WIDE, dot_id, draw_method, logarithmic, look, panels, point_id

__all__ = ["FRONTIER", "Panel", "Point", "around", "crowds", "draw", "frontier", "staircase"]

HEIGHT = 3.4  # inches
FRONTIER = "frontier"  # the id of the line in an SVG
HALO = [withStroke(linewidth=2.0, foreground="white")]  # keeps the frontier off points that are not on it
MOST_LABELS = 6  # of one method; with more settings, only some of them are labelled


@dataclass(frozen=True)
class Point:
    """A method in the units of the axes; `spread` and `cost_spread` are half of its error bars, 0 without any."""

    label: str
    cost: float
    score: float
    spread: float = 0.0
    cost_spread: float = 0.0


@dataclass(frozen=True)
class Panel:
    """The points of one cost, and what its axis is called."""

    points: Sequence[Point]
    heading: str
    logarithmic: bool = False


def draw(panels_: Sequence[Panel], score: str) -> Drawing:
    """Draw a panel for each cost side by side, with a legend of the families above."""
    every = [point for panel in panels_ for point in panel.points]
    with panels(1, len(panels_), WIDE, HEIGHT, sharey=True) as (drawing, rows):
        for axes, panel in zip(rows[0], panels_, strict=True):
            _draw(axes, panel)
        rows[0][0].set_ylabel(score)
        rows[0][0].set_ylim(around([point.score + side * point.spread for point in every for side in (-1, 1)]))
        drawing.legend(handles=_legend(every), loc="outside upper center", ncols=6, frameon=False, handletextpad=0.3)
    for axes, panel in zip(rows[0], panels_, strict=True):
        _name(axes, panel.points)
    return drawing


def crowds(points: Sequence[Point]) -> list[list[Point]]:
    """Find methods with more settings than labels can tell apart; return the points of each by rising cost."""
    methods: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.cost, point.score)):
        methods.setdefault(re.split(r"[: (]", point.label)[0], []).append(point)
    return [settings for settings in methods.values() if len(settings) > MOST_LABELS]


def frontier(runs: pd.DataFrame, cost: str, score: str) -> pd.DataFrame:
    """Keep the rows that no cheaper row beats, cheapest first. Lower cost is better, higher score is better."""
    known = runs.dropna(subset=[cost, score])  # a row without a number is on no frontier
    ordered = known.sort_values([cost, score], ascending=[True, False], kind="stable")
    return ordered[ordered[score] > ordered[score].astype(float).cummax().shift(fill_value=float("-inf"))]


def staircase(points: Sequence[Point], end: float) -> list[tuple[float, float]]:
    """Return the corners of the frontier: the best score to be had at each cost, on to the right end."""
    best = frontier(pd.DataFrame(points), "cost", "score")
    corners: list[tuple[float, float]] = []
    for cost, score in zip(best["cost"], best["score"], strict=True):
        corners += [(cost, corners[-1][1])] if corners else []
        corners.append((cost, score))
    return [*corners, (end, corners[-1][1])]


def around(values: Sequence[float]) -> tuple[float, float]:
    """Return the limits of an axis that reach a sixth of the range, or at least a little, beyond the values."""
    room = (max(values) - min(values)) / 6 or 0.1
    return min(values) - room, max(values) + room


def _draw(axes: Axes, panel: Panel) -> None:
    """The points and the frontier, with room for labels on either side."""
    costs = [point.cost for point in panel.points]
    if panel.logarithmic:
        logarithmic(axes, "x", costs)
        low, high = around([math.log10(cost) for cost in costs])
        axes.set_xlim(10.0**low, 10.0**high)
    else:
        axes.set_xlim(0.0, 1.18 * max(costs))
    axes.set_xlabel(panel.heading)
    best = _best(panel.points)
    for point in panel.points:
        halo = {} if point.label in best else {"path_effects": HALO}
        drawn = draw_method(
            axes, point.label, point.cost, point.score, spread=point.spread, xerr=point.cost_spread or None
        )
        for artist in drawn.get_children():
            artist.set(gid=point_id(point.label), **halo)
        drawn.lines[0].set_gid(dot_id(point.label))
    for crowd in crowds(panel.points):
        axes.plot(*_curve(crowd), color=look(crowd[0].label).line, linewidth=0.7, zorder=2, scalex=False, scaley=False)
    axes.plot(*_frontier(axes, panel.points), color="0.5", linestyle=(0, (3, 2)), linewidth=0.8, zorder=1.5,
              scalex=False, scaley=False, gid=FRONTIER)  # fmt: skip


def _name(axes: Axes, points: Sequence[Point]) -> None:
    """All names, but of a crowd only some."""
    labels = _named(points)
    own = [point for point in points if point.label in labels]
    best = _best(points)
    upright = [([p.cost] * 2, [p.score - p.spread, p.score + p.spread]) for p in points if p.spread]
    lying = [([p.cost - p.cost_spread, p.cost + p.cost_spread], [p.score] * 2) for p in points if p.cost_spread]
    name_points(
        axes,
        [(point.cost, point.score) for point in own],
        [point.label for point in own],
        others=[(point.cost, point.score) for point in points if point.label not in labels],
        widths=[MARKER] * len(points),
        fontweight=["bold" if point.label in best else "normal" for point in own],
        lines=[_frontier(axes, points), *upright, *lying],
    )


def _named(points: Sequence[Point]) -> set[str]:
    """The labels that are written: all, but of a crowd the extremes and some that are on the frontier."""
    labels = {point.label for point in points}
    best = _best(points)
    for crowd in crowds(points):
        own = [label for label in best if label in {point.label for point in crowd}]
        count = min(len(own), MOST_LABELS - 2)
        kept = {own[round(index * (len(own) - 1) / max(1, count - 1))] for index in range(count)}
        scores = sorted(crowd, key=lambda point: point.score)
        kept |= {point.label for point in (crowd[0], crowd[-1], scores[0], scores[-1])}
        labels -= {point.label for point in crowd} - kept
    return labels


def _best(points: Sequence[Point]) -> list[str]:
    """The labels of the points on the frontier, cheapest first."""
    return frontier(pd.DataFrame(points), "cost", "score")["label"].tolist() if points else []


def _frontier(axes: Axes, points: Sequence[Point]) -> Curve:
    corners = staircase(points, axes.get_xlim()[1])
    return [x for x, _ in corners], [y for _, y in corners]


def _curve(points: Sequence[Point]) -> Curve:
    return [point.cost for point in points], [point.score for point in points]


def _legend(points: Sequence[Point]) -> list[Line2D]:
    """A colour for each family that is shown, and the frontier."""
    families: Mapping[str, str] = {look(point.label).family: look(point.label).color for point in points}
    dot: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": MARKER, "markeredgecolor": "black"}
    dots = [Line2D([], [], color=color, label=family, **dot) for family, color in families.items()]
    return [*dots, Line2D([], [], color="0.5", linestyle="--", linewidth=0.8, label="Pareto frontier")]
