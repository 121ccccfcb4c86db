"""Accuracy against peak memory and against trainable parameters, with the Pareto frontiers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D

from reports.figures.annotate import annotate
from reports.figures.canvas import PAPER
from reports.figures.palette import look
from reports.figures.panel import MARKER, Point, around, crowds, draw
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons
from reports.tables.metrics import METRICS
from reports.tables.summary import Summary, memory, on_common_tasks, summaries
from reports.tables.table import Figure

__all__ = ["figure", "report"]

WIDTH, HEIGHT = 7.0, 3.05  # inches: both columns of a paper
LEGEND = "Last epoch; bars: standard deviation over seeds; costs are means over the tasks that are there."


def report(runs: pd.DataFrame) -> list[Figure]:
    """One figure for each suite, backbone and recipe in which some method has an average and a cost."""
    figures = [
        figure(f"tradeoff-{comparison.name}", comparison, summaries(comparison), "trainable", LEGEND + said)
        for comparison, said in map(on_common_tasks, comparisons(runs))
    ]
    return [figure for figure in figures if figure is not None]


def figure(name: str, comparison: Comparison, lines: Sequence[Summary], other: str, legend: str) -> Figure | None:
    """Accuracy against memory, and beside it against another cost; None where no line has an average and a cost."""
    complete = [line for line in lines if line.headline.value is not None]
    panels = {cost: _points(complete, cost) for cost in (memory(complete), other)}
    panels = {cost: points for cost, points in panels.items() if points}
    if not panels:
        return None
    absent = [line.label for line in lines if line not in complete]
    caption = f"{conditions(comparison)} {legend}" + (
        f" Without an average, not shown: {', '.join(absent)}." * bool(absent)
    )
    if crowded := {len(crowd): crowd[0] for points in panels.values() for crowd in crowds(points)}:
        counts = ", ".join(f"{count} of {re.split('[: (]', point.label)[0]}" for count, point in crowded.items())
        caption += (
            f" Settings of one method ({counts}) are joined by a line in the order of their cost; "
            "labels stand at its ends, its highest and lowest accuracy, and on the frontier."
        )
    with mpl.rc_context(PAPER):
        drawing = _drawing(panels, f"test accuracy (%), mean of {len(lines[0].groups)} group means")
    return Figure(name, caption, drawing)


def _points(lines: Sequence[Summary], cost: str) -> list[Point]:
    """The lines that have the cost; one of zero has no place on a logarithmic axis."""
    return [
        Point(line.label, value * METRICS[cost].scale, _percent(line.headline.value), _percent(line.headline.spread))
        for line in lines
        if (value := line.costs[cost].value)
    ]


def _percent(share: float | None) -> float:
    return METRICS["test_accuracy"].scale * (share or 0.0)


def _drawing(panels: Mapping[str, Sequence[Point]], score: str) -> Drawing:
    """Panels side by side, the families above; labels last, when the layout is final."""
    drawing = Drawing(figsize=(WIDTH, HEIGHT), dpi=200, layout="constrained")
    FigureCanvasAgg(drawing)
    row = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (cost, points) in zip(row, panels.items(), strict=True):
        draw(axes, points, logarithmic=cost == "trainable")
        axes.set_xlabel(METRICS[cost].heading)
    row[0].set_ylabel(score)
    points = [point for points in panels.values() for point in points]
    row[0].set_ylim(around([point.score + side * point.spread for point in points for side in (-1, 1)]))
    drawing.legend(handles=_legend(panels), loc="outside upper center", ncols=6, frameon=False, handletextpad=0.3)
    drawing.draw_without_rendering()
    drawing.set_layout_engine("none")
    for axes, points in zip(row, panels.values(), strict=True):
        annotate(axes, points)
    return drawing


def _legend(panels: Mapping[str, Sequence[Point]]) -> list[Line2D]:
    """A colour for each family that is shown, and the frontier."""
    families = {look(point.label).family: look(point.label).color for points in panels.values() for point in points}
    return [
        *(
            Line2D(
                [], [], linestyle="", marker="o", markersize=MARKER, color=color, markeredgecolor="black", label=family
            )
            for family, color in families.items()
        ),
        Line2D([], [], color="0.5", linestyle="--", linewidth=0.8, label="Pareto frontier"),
    ]
