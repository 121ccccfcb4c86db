"""How far a method is as sure as it is right: reliability diagrams, calibration errors and likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.style import WIDE, first_axes, label_edges, look, panels, shown
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons
from reports.tables.ours import named
from reports.tables.summary import Summary, mean_over_tasks, summaries
from reports.tables.table import METRICS, Cell, Column, Figure, Table

__all__ = ["NOTHING", "report"]

NOTHING = "calibration is known of runs since records hold it"
MOST, COLUMNS = 12, 4  # panels
SCORES = (
    "mean_class_accuracy", "top5_accuracy", "negative_log_likelihood", "calibration_error", "temperature",
    "calibrated_error",
)  # fmt: skip
LEGEND = (
    "Test images of the last epoch, in 15 bins by the probability of their answer; a bar is the share of right answers "
    "in a bin, darker where there are more images; on the line method and truth agree, below it a method is too sure. "
    "The images of all tasks and seeds are together; the expected calibration error is the mean over tasks of the "
    "distance from the line, weighted by images. "
)
TABLE = (
    "Means over tasks and seeds, of the last epoch on the test images; empty where a task has no such score: top-5 "
    "accuracy with ten classes or fewer, a temperature without validation images beside the training images "
    "(docs/scores.md)."
)


def report(runs: pd.DataFrame) -> list[Figure | Table]:
    """A figure and a table for each suite, backbone and recipe."""
    return [item for comparison in comparisons(runs) for item in _items(comparison)]


def _items(comparison: Comparison) -> list[Figure | Table]:
    lines = [line for line in summaries(comparison) if _bins(line.runs) is not None]
    if not lines:
        return []
    ranked = sorted(lines, key=lambda line: -(line.headline.value or 0.0))[:MOST]
    shown_lines = [line for line in lines if line in ranked]
    left = f"The {MOST} most accurate of {len(lines)} methods are shown. " if len(lines) > MOST else ""
    name, said = f"calibration-{comparison.name}", conditions(comparison)
    columns = [
        named(lines),
        *((Column.of(key), [Cell(mean_over_tasks(line.runs, key)) for line in lines]) for key in SCORES),
    ]
    return [
        Figure(name, f"{said} {LEGEND}{left}".rstrip(), _draw(shown_lines)),
        Table.of_columns(f"{name}-table", f"{said} {TABLE}", columns).without_empty(),
    ]


def _bins(runs: pd.DataFrame) -> np.ndarray | None:
    """Images, sums of confidences and right answers of each bin (15×3), of all runs together."""
    known = [np.array(bins) for bins in runs.get("calibration_bins", ()) if isinstance(bins, list) and bins]
    return np.sum(known, axis=0) if known else None


def _draw(lines: Sequence[Summary]) -> Drawing:
    columns = min(COLUMNS, len(lines))
    rows = math.ceil(len(lines) / columns)
    width = WIDE * columns / COLUMNS if columns > 1 else 3.0
    with panels(rows, columns, width, rows * 1.95 + 0.25, sharex=True, sharey=True) as (drawing, table):
        for axes, line in zip(first_axes(table, len(lines)), lines, strict=True):
            _panel(axes, line)
        for axes in label_edges(table, len(lines), "confidence", "accuracy"):
            axes.tick_params(axis="x", labelbottom=True)
    return drawing


def _panel(axes: Axes, line: Summary) -> None:
    bins = _bins(line.runs)
    assert bins is not None
    images, _, right = bins.T
    filled = images > 0
    edges = np.linspace(0, 1, len(bins) + 1)
    heights = np.divide(right, images, out=np.zeros(len(bins)), where=filled)
    strength = 0.25 + 0.75 * images / images.max()
    for left, height, alpha in zip(edges[:-1][filled], heights[filled], strength[filled], strict=True):
        axes.bar(left, height, 1 / len(bins), align="edge", color=look(line.label).line, alpha=alpha, edgecolor="black",
                 linewidth=0.3)  # fmt: skip
    axes.plot([0, 1], [0, 1], color="0.55", linestyle=(0, (3, 2)), linewidth=1.0)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    error = mean_over_tasks(line.runs, "calibration_error")
    said = "" if error is None else f"\nerror {METRICS['calibration_error'].scale * error:.1f} %"
    axes.set_title(f"{shown(line.label)}{said}")
