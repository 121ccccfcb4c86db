"""The features that runs kept, for the reports that look at them: those of one seed, task by task."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from reports.tables.comparison import Comparison, present, tasks_by_group
from results import Damaged, read_kept

__all__ = ["Arrays", "kept_by_line", "pick"]

Arrays = dict[str, np.ndarray]


def kept_by_line(comparison: Comparison, wanted: Callable[[str], bool]) -> dict[str, dict[str, Arrays]]:
    """Read the kept features of the first seed that has any, by line and task, for the lines that are `wanted`.

    A file that is gone or is not the record's is passed over; the record is still sound.
    """
    runs = comparison.runs
    if "kept_features" not in runs:
        return {}
    known = runs[runs["kept_features"].map(present) & runs["line"].map(wanted)].sort_values("seed", kind="stable")
    tasks = [task for group in tasks_by_group(runs).values() for task in group]
    lines = {str(line): _by_task(part, tasks) for line, part in known.groupby("line", sort=False)}
    return {line: by_task for line, by_task in lines.items() if by_task}


def pick(labels: np.ndarray, count: int) -> np.ndarray:
    """Pick at most `count` images evenly from the kept ones, and order them by class."""
    chosen = np.linspace(0, len(labels) - 1, min(count, len(labels))).round().astype(int)
    return chosen[labels[chosen].argsort(kind="stable")]


def _by_task(runs: pd.DataFrame, tasks: list[str]) -> dict[str, Arrays]:
    read: dict[str, Arrays] = {}
    for task, path, checksum in runs[["task", "kept_features", "kept_checksum"]].itertuples(index=False):
        if task not in read:
            try:
                read[task] = read_kept(path, checksum)
            except (OSError, Damaged):
                continue
    return {task: read[task] for task in tasks if task in read}
