"""Accuracy and peak memory against M, the first block into which DTL writes back (DTL, Figure 4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from reports.figures.style import draw_method, panel, panels
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons
from reports.tables.costs import Alike, alike, number
from reports.tables.summary import Summary, memory, summaries
from reports.tables.table import GIBIBYTES, MEBIBYTES, METRICS, Cell, Column, Figure, Item, Metric, Table, in_order

__all__ = ["report"]

START = re.compile(r":start=\d+")
BLOCK = "M, the first block whose output changes"
MEMORY = {"planned_peak_bytes": ("planned", "-"), "peak_bytes": ("measured on CUDA", "--")}
LEGEND = "Blocks 1 to M are extracted without a graph, so a gradient passes the blocks above M alone."


SCORES = "Accuracy of the last epoch, mean of the group means; bars: standard deviation over seeds."


@dataclass(frozen=True)
class Point:
    """Holds what is known at one M: costs in bytes, and the accuracy as a share."""

    start: int
    costs: Mapping[str, float | None]
    score: Cell = field(default_factory=Cell)


Lines = dict[str, list[Point]]  # by method without its start, each in the order of M


def report(costs: pd.DataFrame | None, runs: pd.DataFrame | None = None) -> list[Item]:
    """Memory for each set of conditions of cost records; accuracy beside it where runs at several M are known."""
    priced = [] if costs is None else [item for group in alike(_own(costs)) for item in _priced(group)]
    trained = [] if runs is None else [item for comparison in comparisons(runs) for item in _trained(comparison)]
    return [*trained, *priced]


def _own(costs: pd.DataFrame) -> pd.DataFrame:
    return costs[(costs["status"] == "ok") & costs["method"].str.match(r"dtl(_plus)?(:|$)")]


def _priced(group: Alike) -> Sequence[Item]:
    rows = group.rows.to_dict("records")
    points = [
        (str(row["method"]), Point(int(row["settings"]["start"]), {key: number(row[key]) for key in MEMORY}))
        for row in rows
    ]
    lines = _lines(points)
    if not lines:
        return []
    caption = f"{group.conditions} {LEGEND}"
    with panel(BLOCK, "peak memory of training (GiB)") as (drawing, axes):
        for key in MEMORY:
            _draw_memory(axes, lines, key, GIBIBYTES)
        _finish(axes)
    name = f"dtl_start-{group.name}"
    return [_table(f"{name}-table", caption, lines), Figure(name, caption, drawing)]


def _trained(comparison: Comparison) -> Sequence[Item]:
    """Accuracy above, the peak of the same runs below."""
    known = [line for line in summaries(comparison) if re.match(r"dtl(_plus)?[:( ]|dtl(_plus)?$", line.label)]
    complete = [line for line in known if line.headline.value is not None]
    cost = memory(complete)
    lines = _lines([point for line in complete if (point := _point(line, cost)) is not None])
    if not lines:
        return []
    caption = f"{conditions(comparison)} {SCORES} {LEGEND}"
    with panels(2, 1, 4.6, 4.2, sharex=True) as (drawing, ((above,), (below,))):
        _draw_scores(above, lines)
        _draw_memory(below, lines, cost, MEBIBYTES)
        above.set_ylabel("test accuracy (%)")
        below.set_ylabel(f"peak memory, {METRICS[cost].label} (MiB)")
        below.set_xlabel(BLOCK)
        _finish(below)
    name = f"dtl_start-{comparison.name}"
    return [_table(f"{name}-table", caption, lines), Figure(name, caption, drawing)]


def _point(line: Summary, cost: str) -> tuple[str, Point] | None:
    """A line of one M; None where its runs do not have one."""
    starts = {number(value) for value in line.runs.get("method_start", ())}
    (start,) = starts if len(starts) == 1 else (None,)
    return None if start is None else (line.label, Point(int(start), {cost: line.costs[cost].value}, line.headline))


def _lines(points: Sequence[tuple[str, Point]]) -> Lines:
    """The points of methods that differ in M alone, where there are at least two."""
    found: dict[str, dict[int, Point]] = {}
    for label, point in points:
        found.setdefault(START.sub("", label), {})[point.start] = point
    return {
        label: [found[label][start] for start in sorted(found[label])]
        for label in in_order(found)
        if len(found[label]) > 1
    }


def _table(name: str, caption: str, lines: Lines) -> Table:
    starts = sorted({point.start for points in lines.values() for point in points})
    columns = [(Column("start", "M", metric=Metric("block", "", 1, 0)), [Cell(float(start)) for start in starts])]
    for label, points in lines.items():
        at = {point.start: point for point in points}
        scores = [at[start].score if start in at else Cell() for start in starts]
        columns.append((Column(f"{label}_test_accuracy", "accuracy (%)", label, METRICS["test_accuracy"]), scores))
        for key in points[0].costs:
            costs = [Cell(at[start].costs[key]) if start in at else Cell() for start in starts]
            columns.append((Column(f"{label}_{key}", f"{METRICS[key].label} (MiB)", label, METRICS[key]), costs))
    return Table.of_columns(name, caption, columns).without_empty()


def _draw_memory(axes: Axes, lines: Lines, key: str, scale: float) -> None:
    title, dashes = MEMORY[key]
    for index, (label, points) in enumerate(lines.items()):
        known = [(point.start, size * scale) for point in points if (size := point.costs[key]) is not None]
        if known:
            starts, sizes = zip(*known, strict=True)
            draw_method(axes, label, starts, sizes, line=dashes, size=_size(index), label=f"{label}, {title}")


def _draw_scores(axes: Axes, lines: Lines) -> None:
    percent = METRICS["test_accuracy"].scale
    for index, (label, points) in enumerate(lines.items()):
        scores = [percent * (point.score.value or 0.0) for point in points]
        spreads = [percent * (point.score.spread or 0.0) for point in points]
        starts = [point.start for point in points]
        draw_method(axes, label, starts, scores, spread=spreads, line="-", size=_size(index))


def _size(index: int) -> float:
    """The width of markers in points: later lines have smaller ones, so that of lines that coincide all are seen."""
    return max(7.0 - 3 * index, 2.5)


def _finish(axes: Axes) -> None:
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MultipleLocator(1))
    axes.legend(frameon=False, fontsize=6.5)
