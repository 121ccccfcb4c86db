"""Loss and accuracy over the epochs of training, a line a method, means over tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from reports.figures.canvas import WIDE, panels
from reports.figures.ends import height_for, make_room, name_ends
from reports.figures.fonts import shown
from reports.figures.palette import look
from reports.tables.captions import conditions, mixes
from reports.tables.comparison import Comparison, comparisons
from reports.tables.summary import Summary, summaries
from reports.tables.table import Figure

__all__ = ["curve", "report"]

HEIGHT = 3.3  # inches
LEGEND = (
    "Training loss and accuracy of each epoch are means over its images, before each update; a line is the mean over "
    "tasks and seeds. Of a method that trains in stages, the last is shown."
)
MIXED = " Training accuracy on mixed images counts the class with the larger share."
Curves = Mapping[str, np.ndarray]  # by method: a row an epoch, (epoch, value)


def report(runs: pd.DataFrame) -> list[Figure]:
    """One figure for each suite, backbone and recipe in which the epochs of some method are known."""
    figures = [_figure(comparison) for comparison in comparisons(runs)]
    return [figure for figure in figures if figure is not None]


def curve(rows: Sequence[Sequence[Sequence[float]]]) -> np.ndarray | None:
    """The mean of curves of points (epoch, value); None where they are not at the same epochs, or of one point."""
    epochs = {tuple(epoch for epoch, _ in points) for points in rows}
    if len(epochs) != 1 or len(next(iter(epochs))) < 2:
        return None
    return np.array(rows, dtype=float).mean(axis=0)


def _figure(comparison: Comparison) -> Figure | None:
    lines = summaries(comparison)
    complete = [line for line in lines if line.headline.value is not None]
    shown = {
        "training loss": _curves(complete, "train_losses", 1.0),
        "training accuracy (%)": _curves(complete, "train_accuracies", 100.0),
        "test accuracy (%)": _curves(complete, "evaluations", 100.0),
    }
    shown = {title: curves for title, curves in shown.items() if curves}
    if not shown:
        return None
    known = {label for curves in shown.values() for label in curves}
    absent = [line.label for line in lines if line.label not in known]
    left_out = f" Not shown, for want of runs, or of runs of one length: {', '.join(absent)}." if absent else ""
    mixed = MIXED if mixes(comparison.runs) else ""
    caption = f"{conditions(comparison)} {LEGEND}{mixed}{left_out}"
    with panels(1, len(shown), WIDE, height_for(len(known), HEIGHT)) as (drawing, rows):
        for axes, (title, curves) in zip(rows[0], shown.items(), strict=True):
            _draw(axes, title, curves)
        make_room(drawing, len(shown), known)
    for axes, curves in zip(rows[0], shown.values(), strict=True):
        name_ends(axes, list(curves), [(points[-1, 0], points[-1, 1]) for points in curves.values()])
    return Figure(f"convergence-{comparison.name}", caption, drawing)


def _curves(lines: Sequence[Summary], column: str, scale: float) -> Curves:
    curves = {line.label: curve(_points(line.runs, column)) for line in lines}
    return {label: points * (1, scale) for label, points in curves.items() if points is not None}


def _points(runs: pd.DataFrame, column: str) -> list[list[list[float]]]:
    """Of each run, the last stage; a plain list has a value an epoch."""
    if not {column, "train_losses"} <= {*runs.columns}:
        return []
    lengths = runs.get("recipe_epochs", runs["train_losses"].str.len())
    return [
        _last([v if isinstance(v, list) else [i, v] for i, v in enumerate(values, start=1)], len(losses) - int(length))
        for values, losses, length in zip(runs[column], runs["train_losses"], lengths, strict=True)
        if isinstance(values, list)
    ]


def _last(points: list[list[float]], begin: int) -> list[list[float]]:
    """The points after so many epochs, counted from there."""
    return [[epoch - begin, value] for epoch, value in points if epoch > begin]


def _draw(axes: Axes, title: str, curves: Curves) -> None:
    for label, points in curves.items():
        style = look(label)
        axes.plot(
            *points.T,
            color=style.line,
            linewidth=0.9,
            marker=style.marker,
            markersize=3.2 * style.size,
            markerfacecolor=style.color,
            markeredgecolor="black",
            markeredgewidth=0.4,
            markevery=[-1],
            clip_on=False,
        )
    axes.set_title(shown(title), fontsize=7.5, loc="left")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if title == "training loss" and all((points[:, 1] > 0).all() for points in curves.values()):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
