"""Confusions of classes, as records hold them: pooled over seeds, the accuracy within each class, and balance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from reports.tables.comparison import Comparison
from reports.tables.ours import Filled
from reports.tables.summary import Summary, mean_over_tasks, plain_mean
from reports.tables.table import METRICS, Cell, Column
from results import BALANCE

__all__ = ["best_line", "class_means", "class_names", "confusion", "recalls", "unbalanced"]


def confusion(runs: pd.DataFrame) -> np.ndarray | None:
    """Add up the confusions of some runs on one task, labels in rows; None where no run has any."""
    known = [np.array(matrix) for matrix in runs.get("confusion", ()) if isinstance(matrix, list) and matrix]
    shapes = {matrix.shape for matrix in known}
    return np.sum(known, axis=0) if len(shapes) == 1 else None


def recalls(matrix: np.ndarray) -> list[float | None]:
    """Return the accuracy within each class; None for one without a test image."""
    pairs = zip(matrix.diagonal().tolist(), matrix.sum(axis=1).tolist(), strict=True)
    return [right / images if images else None for right, images in pairs]


def class_names(runs: pd.DataFrame, classes: int) -> list[str]:
    """Return the names of the classes of a task; their numbers where the data have no names."""
    known = [names for names in runs.get("class_names", ()) if isinstance(names, list) and len(names) == classes]
    return list(map(str, known[0])) if known else list(map(str, range(classes)))


def unbalanced(comparison: Comparison) -> bool:
    """Return whether some task has a class with more than twice the test images of another."""
    for _, runs in comparison.runs.groupby("task", sort=False):
        matrix = confusion(runs)
        images = [] if matrix is None else [count for count in matrix.sum(axis=1).tolist() if count]
        if images and max(images) > BALANCE * min(images):
            return True
    return False


def class_means(comparison: Comparison, lines: Sequence[Summary]) -> list[Filled]:
    """Return the column of the mean per-class accuracy, which shows what accuracy hides; none for balanced classes."""
    if not unbalanced(comparison):
        return []
    key = "mean_class_accuracy"
    cells = [Cell(mean_over_tasks(line.runs, key)) for line in lines]
    return [(Column(key, "mean of classes", "accuracy (%)", METRICS[key]), cells)]


def best_line(lines: Sequence[Summary]) -> Summary:
    """Return the line with the highest mean accuracy; of lines without one, that which has the most tasks."""

    def rank(line: Summary) -> tuple[bool, int, float]:
        scores = [cell.value for cell in line.tasks.values() if cell.value is not None]
        return line.headline.value is not None, len(scores), line.headline.value or plain_mean(scores) or 0.0

    return max(lines, key=rank)
