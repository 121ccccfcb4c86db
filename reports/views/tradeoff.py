"""Accuracy against peak memory and against trainable parameters, with the Pareto frontiers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pandas as pd

from reports.figures.scatter import Panel, Point, crowds, draw
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons, label, values
from reports.tables.summary import Summary, memory, on_common_tasks, summaries
from reports.tables.table import METRICS, Cell, Column, Figure, Table
from reports.views.accuracy import filled

__all__ = ["NOTHING", "figure", "report"]

NOTHING = (
    "a trade-off takes two methods with an average and a cost; the numbers of one stand in the table of accuracies"
)
LEGEND = "Last epoch; costs are means over the tasks that are there."
BARS = " Bars: 95 % interval of the mean over seeds (Student)."
BEST = " Names in bold are on the frontier: nothing cheaper is as good."


def report(runs: pd.DataFrame) -> list[Figure]:
    """One figure for each suite, backbone and recipe in which some methods have an average and a cost."""
    figures = [
        figure(f"tradeoff-{comparison.name}", comparison, summaries(comparison), "trainable", LEGEND + said)
        for comparison, said in map(on_common_tasks, comparisons(runs))
    ]
    return [figure for figure in figures if figure is not None]


def figure(name: str, comparison: Comparison, lines: Sequence[Summary], other: str, legend: str) -> Figure | None:
    """Draw accuracy against memory and another cost; None where no two lines have an average and a cost."""
    complete = [line for line in lines if line.headline.value is not None]
    peak = memory(complete)
    panels = {cost: _points(complete, cost) for cost in (peak, other)}
    panels = {cost: points for cost, points in panels.items() if len(points) > 1}
    if not panels:
        return None
    absent = [line.label for line in lines if line not in complete]
    bars = any(point.spread or point.cost_spread for points in panels.values() for point in points)
    caption = f"{conditions(comparison)} {legend}{BARS * bars}{BEST}" + (
        f" Without an average, not shown: {', '.join(absent)}." * bool(absent)
    )
    if crowded := {len(crowd): crowd[0] for points in panels.values() for crowd in crowds(points)}:
        counts = ", ".join(f"{count} of {re.split('[: (]', point.label)[0]}" for count, point in crowded.items())
        caption += (
            f" Settings of one method ({counts}) are joined by a line in the order of their cost; "
            "labels stand at its ends, its highest and lowest accuracy, and on the frontier."
        )
    shown = [Panel(points, METRICS[cost].heading, cost == "trainable") for cost, points in panels.items()]
    drawing = draw(shown, f"test accuracy (%), mean of {len(lines[0].groups)} group means")
    return Figure(name, caption, drawing, _numbers(name, comparison, complete), peak)


def _numbers(name: str, comparison: Comparison, lines: Sequence[Summary]) -> Table:
    """Everything that is known of each line: its settings, scores and costs."""
    first, *others = filled(comparison, lines)
    settings = Column("settings", "settings"), [Cell(word=_settings(line)) for line in lines]
    return Table.of_columns(name, "", [first, settings, *others])


def _settings(line: Summary) -> str:
    """The settings of a method, also those that its label leaves out."""
    columns = [name for name in map(str, line.runs) if name.startswith("method_")]
    known = {label(name): values(line.runs, name) for name in columns}
    return ", ".join(f"{name} {' / '.join(found)}" for name, found in known.items() if found)


def _points(lines: Sequence[Summary], cost: str) -> list[Point]:
    """The lines that have the cost; one of zero has no place on a logarithmic axis."""
    return [
        Point(
            line.label,
            value * METRICS[cost].scale,
            METRICS["test_accuracy"].scale * (line.headline.value or 0.0),
            METRICS["test_accuracy"].scale * _reach(line.headline),
            METRICS[cost].scale * _reach(line.costs[cost]),
        )
        for line in lines
        if (value := line.costs[cost].value)
    ]


def _reach(cell: Cell) -> float:
    """Half of the interval over seeds; 0 for one seed, since the test images are the same for all methods."""
    estimate = cell.estimate
    return (estimate.high - estimate.low) / 2 if estimate is not None and math.isfinite(estimate.freedom) else 0.0
