"""Loss and accuracy over the epochs of training, a line a method, means over tasks and seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reports.figures.curves import MANY, draw_training
from reports.tables.captions import conditions, mixes
from reports.tables.comparison import Comparison, comparisons
from reports.tables.summary import Summary, summaries
from reports.tables.table import Figure

__all__ = ["curve", "report"]

LEGEND = (
    "Training loss and accuracy of each epoch are means over its images, before each update; a line is the mean over "
    "tasks and seeds. Of a method that trains in stages, the last is shown."
)
TESTED = " Open markers beside the training accuracy: test accuracy after the last epoch."
FAMILIES = " Methods are shown family by family, over all others in grey; colours tell the methods of a family apart."
MIXED = " Training accuracy on mixed images counts the class with the larger share."
ACCURACY = "training accuracy (%)"
Curves = Mapping[str, np.ndarray]  # by method: a row an epoch, (epoch, value)


def report(runs: pd.DataFrame) -> list[Figure]:
    """One figure for each suite, backbone and recipe in which the epochs of some method are known."""
    return list(filter(None, map(_figure, comparisons(runs))))


def curve(rows: Sequence[Sequence[Sequence[float]]]) -> np.ndarray | None:
    """Average curves of points (epoch, value); None where they are not at the same epochs, or of one point."""
    epochs = {tuple(epoch for epoch, _ in points) for points in rows}
    if len(epochs) != 1 or len(next(iter(epochs))) < 2:
        return None
    return np.array(rows, dtype=float).mean(axis=0)


def _figure(comparison: Comparison) -> Figure | None:
    lines = summaries(comparison)
    complete = [line for line in lines if line.headline.value is not None]
    shown = {
        "training loss": _curves(complete, "train_losses", 1.0),
        ACCURACY: _curves(complete, "train_accuracies", 100.0),
        "test accuracy (%)": _curves(complete, "evaluations", 100.0),
    }
    shown = {title: curves for title, curves in shown.items() if curves}
    ends = {line.label: end for line in complete if (end := _end(line)) is not None}
    if not shown:
        return None
    known = {label for curves in shown.values() for label in curves}
    absent = [line.label for line in lines if line.label not in known]
    left_out = f" Not shown, for want of runs, or of runs of one length: {', '.join(absent)}." if absent else ""
    mixed = MIXED if mixes(comparison.runs) else ""
    tested = TESTED if ends and ACCURACY in shown else ""
    caption = f"{conditions(comparison)} {LEGEND}{tested}{FAMILIES * (len(known) > MANY)}{mixed}{left_out}"
    return Figure(f"convergence-{comparison.name}", caption, draw_training(shown, {ACCURACY: ends}))


def _end(line: Summary) -> np.ndarray | None:
    """The test accuracy of a line that was tested once, in the end: (epoch, accuracy in %)."""
    rows = _points(line.runs, "evaluations")
    if not rows or any(len(points) != 1 for points in rows) or len({points[0][0] for points in rows}) != 1:
        return None
    return np.array(rows, dtype=float).mean(axis=0) * (1, 100.0)


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
