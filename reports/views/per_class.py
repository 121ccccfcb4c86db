"""Accuracy within each class: of all classes of a single task, else the mean and the worst class of each task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.tables.captions import conditions, failures
from reports.tables.classes import class_names, confusion, recalls
from reports.tables.comparison import Comparison, comparisons
from reports.tables.ours import Filled, named
from reports.tables.summary import Summary, summaries
from reports.tables.table import METRICS, Cell, Column, Table
from results import numbered

__all__ = ["NOTHING", "report"]

NOTHING = "accuracy by class is known of tasks of at most 100 classes, by runs since records hold it"
MOST = 30  # classes that have a column each
CLASS = METRICS["mean_class_accuracy"]
LEGEND = (
    "Accuracy (%) within each class on the test images of the last epoch, seeds together; the mean gives every class "
    "the same weight, however many images it has."
)


def report(runs: pd.DataFrame) -> list[Table]:
    """One table for each suite, backbone and recipe."""
    return list(filter(None, map(_table, comparisons(runs))))


def _table(comparison: Comparison) -> Table | None:
    lines = summaries(comparison)
    known = {task: [_matrix(line, task) for line in lines] for task in lines[0].tasks}
    known = {task: matrices for task, matrices in known.items() if any(m is not None for m in matrices)}
    if not known:
        return None
    alone = len(known) == 1
    columns: list[Filled] = [named(lines)]
    for task, matrices in known.items():
        runs = comparison.runs[comparison.runs["task"] == task]
        columns += _of_all_classes(task, lines, matrices, runs) if alone else _of_worst(task, matrices, runs)
    caption = f"{conditions(comparison)} {LEGEND}"
    return Table.of_columns(f"per_class-{comparison.name}", caption, columns, failures(comparison.runs))


def _matrix(line: Summary, task: str) -> np.ndarray | None:
    return confusion(line.runs[line.runs["task"] == task])


def _of_all_classes(
    task: str, lines: Sequence[Summary], matrices: Sequence[np.ndarray | None], runs: pd.DataFrame
) -> list[Filled]:
    """Accuracy and its mean over classes, then each class; of very many, those with the most test images."""
    first = next(matrix for matrix in matrices if matrix is not None)
    names, images = class_names(runs, len(first)), first.sum(axis=1) // max(1, _seeds(lines, matrices))
    places = sorted(np.argsort(-images, kind="stable")[:MOST].tolist())
    rows = [[None] * len(first) if matrix is None else recalls(matrix) for matrix in matrices]
    columns: list[Filled] = [
        (Column("test_accuracy", "all images", task, METRICS["test_accuracy"]), [line.tasks[task] for line in lines]),
        _mean(task, matrices),
    ]
    for place in places:
        heading = f"{names[place]} ({numbered(int(images[place]), 'image')})"
        cells = [Cell(row[place]) for row in rows]
        columns.append((Column(f"class_{place}", heading, "class", CLASS), cells))
    return columns


def _seeds(lines: Sequence[Summary], matrices: Sequence[np.ndarray | None]) -> int:
    """How many runs are together in the first line that has any."""
    line = next(line for line, matrix in zip(lines, matrices, strict=True) if matrix is not None)
    return sum(isinstance(matrix, list) for matrix in line.runs["confusion"])


def _of_worst(task: str, matrices: Sequence[np.ndarray | None], runs: pd.DataFrame) -> list[Filled]:
    """The mean over classes, and the class with the lowest accuracy."""
    names = class_names(runs, max(len(matrix) for matrix in matrices if matrix is not None))
    cells, words = list[Cell](), list[Cell]()
    for matrix in matrices:
        scores = [] if matrix is None else [(score, i) for i, score in enumerate(recalls(matrix)) if score is not None]
        worst = min(scores, default=None)
        cells.append(Cell(None if worst is None else worst[0]))
        words.append(Cell(word="" if worst is None else names[worst[1]]))
    return [
        _mean(task, matrices),
        (Column(f"worst_{task}", "worst class", task, CLASS), cells),
        (Column(f"worst_{task}_name", "which", task, detail=True), words),
    ]


def _mean(task: str, matrices: Sequence[np.ndarray | None]) -> Filled:
    cells = []
    for matrix in matrices:
        known = [] if matrix is None else [score for score in recalls(matrix) if score is not None]
        cells.append(Cell(float(np.mean(known)) if known else None))
    return Column(f"mean_class_accuracy_{task}", "mean of classes", task, CLASS, detail=True), cells
