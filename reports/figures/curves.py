"""Accuracy against shots: a panel for each set and one for their mean, whose lines are labelled where they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, NullLocator

from reports.figures.canvas import PAPER
from reports.figures.fonts import shown
from reports.figures.palette import look
from reports.figures.shots import sets_of

__all__ = ["Curve", "apart", "draw"]

WIDTH, HEIGHT, COLUMNS = 7.0, 2.1, 3  # inches, of the figure and of a row of panels; panels in a row
LABEL, ROOM = 6.5, 0.42  # type of the labels, and the share of the last panel's width that is theirs
MEAN = "mean"
LEADER = {"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 3}
Points = Mapping[tuple[str, int], tuple[float, float]]  # by set and shots: accuracy and its deviation, in %
Line = Sequence[tuple[int, float, float]]  # shots, accuracy, deviation


@dataclass(frozen=True)
class Curve:
    """A method's accuracies; those that a publication printed are drawn apart."""

    method: str
    printed: bool
    points: Points

    def line(self, name: str) -> Line:
        """Of one set, by rising shots."""
        return [(shots, *pair) for (known, shots), pair in sorted(self.points.items()) if known == name]

    def mean(self, names: Sequence[str]) -> Line:
        """The plain mean over the sets at each number of shots that all of them have."""
        found = []
        for shots in sorted({shots for _, shots in self.points}):
            values = [self.points[name, shots][0] for name in names if (name, shots) in self.points]
            found += [(shots, fmean(values), 0.0)] if len(values) == len(names) else []
        return found


def draw(curves: Sequence[Curve]) -> Drawing:
    """Three panels a row."""
    names = sets_of(name for curve in curves if not curve.printed for name, _ in curve.points)
    panels = {name: [curve.line(name) for curve in curves] for name in names}
    panels |= {MEAN: [curve.mean(names) for curve in curves]} if len(names) > 1 else {}
    rows = -(-len(panels) // COLUMNS)
    with mpl.rc_context(PAPER):
        drawing = Drawing(figsize=(WIDTH, HEIGHT * rows), dpi=200, layout="constrained")
        FigureCanvasAgg(drawing)
        grid = drawing.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, (name, lines) in zip(grid, panels.items(), strict=False):
            _panel(axes, name, curves, lines)
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        _label(grid[len(panels) - 1], curves, [*panels.values()][-1])
        drawing.draw_without_rendering()
    return drawing


def apart(places: Sequence[float], gap: float, top: float) -> list[float]:
    """The places moved until no two are closer than `gap`, in their order, as high as `top` lets them."""
    by_rank = sorted(range(len(places)), key=lambda index: -places[index])
    moved: dict[int, float] = {}
    above = top + gap
    for index in by_rank:
        above = moved[index] = min(places[index], above - gap)
    return [moved[index] for index in range(len(places))]


def _panel(axes: Axes, name: str, curves: Sequence[Curve], lines: Sequence[Line]) -> None:
    axes.grid(color="0.93", linewidth=0.5)
    axes.set_title(shown(name), fontsize=7.5)
    axes.set_xlabel("shots")
    axes.set_ylabel("accuracy (%)")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sorted({shots for line in lines for shots, _, _ in line})))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    for curve, line in zip(curves, lines, strict=True):
        if line:
            _draw(axes, curve, line)


def _draw(axes: Axes, curve: Curve, line: Line) -> None:
    style = look(curve.method)
    shots, values, spreads = zip(*line, strict=True)
    axes.errorbar(
        shots,
        values,
        yerr=spreads if any(spreads) else None,
        color=_ink(curve.method),
        ecolor="0.3",
        elinewidth=0.6,
        linewidth=0.9,
        linestyle=(0, (3, 2)) if curve.printed else "-",
        marker=style.marker,
        markersize=4,
        markerfacecolor="white" if curve.printed else style.color,
        markeredgecolor="black",
        markeredgewidth=0.5,
        zorder=2 if curve.printed else 3,
    )


def _ink(method: str) -> str:
    """A yellow line is hard to see."""
    color = look(method).color
    return "0.45" if color == "#F0E442" else color


def _label(axes: Axes, curves: Sequence[Curve], lines: Sequence[Line]) -> None:
    """The method beside the end of each line of ours, in room made for it to the right."""
    ends = [
        (curve.method, *line[-1][:2]) for curve, line in zip(curves, lines, strict=True) if line and not curve.printed
    ]
    if not ends:
        return
    first, last = min(line[0][0] for line in lines if line), max(shots for _, shots, _ in ends)
    axes.set_xlim(first / 1.15, last * (max(last / first, 2) ** (ROOM / (1 - ROOM))))
    low, high = axes.get_ylim()
    room = (high - low) * LABEL * 1.15 / 72 / (HEIGHT * 0.68)
    places = apart([value for *_, value in ends], room, high)
    for (method, shots, value), place in zip(ends, places, strict=True):
        axes.annotate(
            method,
            (shots, value),
            xytext=(last * 1.45, place),
            fontsize=LABEL,
            va="center",
            annotation_clip=False,
            arrowprops=LEADER,
        )
