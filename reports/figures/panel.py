"""One panel of a trade-off figure: a point for each method and the Pareto frontier as a staircase."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from reports.figures.palette import look
from reports.figures.pareto import frontier

__all__ = ["MARKER", "Point", "around", "crowds", "draw", "named", "staircase"]

MARKER = 5.5  # width in points
MOST_LABELS = 6  # of one method; with more settings, only some of them are labelled


@dataclass(frozen=True)
class Point:
    """A method in the units that the axes show; `spread` is 0 where there is a single seed."""

    label: str
    cost: float
    score: float
    spread: float = 0.0


def draw(axes: Axes, points: Sequence[Point], *, logarithmic: bool) -> None:
    """The points and the frontier, with room for labels on either side; the caller sets the limits of the score."""
    axes.grid(color="0.93", linewidth=0.5)
    axes.set_axisbelow(True)
    if logarithmic:
        _scale_by_powers(axes, [point.cost for point in points])
    axes.set_xlim(_across([point.cost for point in points], logarithmic=logarithmic))
    for point in points:
        _draw_point(axes, point)
    for crowd in crowds(points):
        places = [point.cost for point in crowd], [point.score for point in crowd]
        axes.plot(*places, color=look(crowd[0].label).line, linewidth=0.7, zorder=2, scalex=False, scaley=False)
    steps = list(zip(*staircase(points, axes.get_xlim()[1]), strict=True))
    axes.plot(*steps, color="0.5", linestyle=(0, (3, 2)), linewidth=0.8, zorder=1.5, scalex=False, scaley=False)


def crowds(points: Sequence[Point]) -> list[list[Point]]:
    """The methods with more settings than can be told apart by labels; the points of each by rising cost."""
    methods: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda point: (point.cost, point.score)):
        methods.setdefault(re.split(r"[: (]", point.label)[0], []).append(point)
    return [settings for settings in methods.values() if len(settings) > MOST_LABELS]


def named(points: Sequence[Point]) -> set[str]:
    """The labels that are written: all, but of a crowd the extremes and some that are on the frontier."""
    labels = {point.label for point in points}
    best = frontier(pd.DataFrame(points), "cost", "score")["label"].tolist() if points else []
    for crowd in crowds(points):
        own = [label for label in best if label in {point.label for point in crowd}]
        count = min(len(own), MOST_LABELS - 2)
        kept = {own[round(place * (len(own) - 1) / max(1, count - 1))] for place in range(count)}
        scores = sorted(crowd, key=lambda point: point.score)
        kept |= {point.label for point in (crowd[0], crowd[-1], scores[0], scores[-1])}
        labels -= {point.label for point in crowd} - kept
    return labels


def staircase(points: Sequence[Point], end: float) -> list[tuple[float, float]]:
    """The corners of the frontier: the best score to be had at each cost, on to the right end."""
    best = frontier(pd.DataFrame(points), "cost", "score")
    corners: list[tuple[float, float]] = []
    for cost, score in zip(best["cost"], best["score"], strict=True):
        corners += [(cost, corners[-1][1])] if corners else []
        corners.append((cost, score))
    return [*corners, (end, corners[-1][1])]


def _across(costs: Sequence[float], *, logarithmic: bool) -> tuple[float, float]:
    """Limits for the costs: memory starts at zero."""
    if not logarithmic:
        return 0.0, 1.18 * max(costs)
    low, high = around([math.log10(cost) for cost in costs])
    return 10.0**low, 10.0**high


def around(values: Sequence[float]) -> tuple[float, float]:
    """Limits a sixth of the range, or at least a little, beyond the values."""
    room = (max(values) - min(values)) / 6 or 0.1
    return min(values) - room, max(values) + room


def _draw_point(axes: Axes, point: Point) -> None:
    style = look(point.label)
    axes.errorbar(
        point.cost,
        point.score,
        yerr=point.spread or None,
        fmt=style.marker,
        color=style.color,
        ecolor="0.3",
        elinewidth=0.6,
        markersize=MARKER * style.size,
        markeredgecolor="black",
        markeredgewidth=0.5,
        zorder=3,
    )


def _scale_by_powers(axes: Axes, costs: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers at its ticks, and more of them where it spans little."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if max(costs) > 30 * min(costs) else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
