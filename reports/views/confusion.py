"""Which classes the best method takes for which: a confusion matrix for each task of at most 100 classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.style import WIDE, first_axes, label_edges, panels
from reports.tables.captions import conditions
from reports.tables.classes import best_line, class_names, confusion
from reports.tables.comparison import Comparison, comparisons
from reports.tables.summary import Summary, summaries
from reports.tables.table import Figure

__all__ = ["NOTHING", "report"]

NOTHING = "confusions are kept of tasks of at most 100 classes, by runs since records hold them"
MOST_NUMBERS, MOST_NAMES, MOST_TICKS = 12, 25, 50  # classes of a panel that has the counts, the names, any ticks
LEGEND = (
    "Confusions of {}, which has the highest accuracy{}, on the test images of the last epoch: rows are the right "
    "classes, columns the answers, and a colour is the share of a row{}."
)
Part = tuple[str, np.ndarray, list[str]]  # task, confusions and names of the classes


def report(runs: pd.DataFrame) -> list[Figure]:
    """One figure for each suite, backbone and recipe; that of a grid of one method is of that method."""
    return list(filter(None, map(_figure, comparisons(runs))))


def _figure(comparison: Comparison) -> Figure | None:
    lines = [line for line in summaries(comparison) if _parts(line)]
    if not lines:
        return None
    best = best_line(lines)
    parts = _parts(best)
    seeds = best.runs["seed"].nunique()
    among = f" of {len(lines)} methods" if len(lines) > 1 else ""
    numbers = "; numbers are images" if any(_small(part, len(parts)) for part in parts) else ""
    pooled = f"{numbers}, of {seeds} seeds together" if seeds > 1 else numbers
    caption = f"{conditions(comparison)} {LEGEND.format(best.label, among, pooled)}"
    return Figure(f"confusion-{comparison.name}", caption, _draw(parts))


def _parts(line: Summary) -> list[Part]:
    known = {str(task): runs for task, runs in line.runs.groupby("task", sort=False)}
    found = [(task, confusion(known[task])) for task in line.tasks if task in known]
    return [(task, m, class_names(known[task], len(m))) for task, m in found if m is not None and m.sum()]


def _draw(parts: Sequence[Part]) -> Drawing:
    columns = min(len(parts), 3 if len(parts) <= 6 else 5)
    rows = math.ceil(len(parts) / columns)
    side = WIDE / columns if columns > 1 else min(4.6, 1.4 + 0.4 * len(parts[0][1]))
    width = WIDE if columns > 1 else side + 0.6
    with panels(rows, columns, width, rows * (side + 0.15), grid=False) as (drawing, table):
        panels_ = first_axes(table, len(parts))
        for axes in panels_:
            axes.set_visible(False)  # seaborn draws all that can be seen, once for every heatmap
        for axes, part in zip(panels_, parts, strict=True):
            axes.set_visible(True)
            _panel(axes, part, len(parts))
            axes.set_visible(False)
        for axes in panels_:
            axes.set_visible(True)
        label_edges(table, len(parts), "answer", "right class")
    return drawing


def _panel(axes: Axes, part: Part, panels_: int) -> None:
    task, matrix, names = part
    images = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, images, out=np.zeros(matrix.shape), where=images > 0)
    size, small = len(matrix), _small(part, panels_)
    named = size <= MOST_NAMES and (panels_ == 1 or all(len(name) <= 3 for name in names))
    ticks: list[str] | int | bool = names if named else max(1, size // 10) if size <= MOST_TICKS else size // 5
    sns.heatmap(
        shares,
        ax=axes,
        vmin=0,
        vmax=1,
        cmap="Blues",
        cbar=False,
        square=True,
        annot=matrix if small else None,
        fmt="d",
        annot_kws={"size": 7.0 if panels_ == 1 else 5.0},
        xticklabels=ticks,
        yticklabels=ticks,
    )
    axes.tick_params(axis="y", rotation=0, length=0)
    axes.tick_params(axis="x", rotation=90 if named and any(len(name) > 3 for name in names) else 0, length=0)
    axes.set_title(f"{task}: {matrix.trace() / matrix.sum():.1%}")
    for spine in axes.spines.values():
        spine.set_visible(True)


def _small(part: Part, panels_: int) -> bool:
    return len(part[1]) <= (MOST_NUMBERS if panels_ <= 6 else 0)
