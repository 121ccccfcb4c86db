"""Test accuracy of every method: the averages, what they cost, then every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reports.tables.captions import conditions, failures
from reports.tables.classes import class_means
from reports.tables.comparison import Comparison, comparisons, tasks_by_group
from reports.tables.ours import AVERAGES, Filled, about, named
from reports.tables.summary import Summary, summaries
from reports.tables.table import METRICS, Column, Metric, Table

__all__ = ["filled", "report"]

ACCURACY = METRICS["test_accuracy"]
MEAN = replace(ACCURACY, digits=2)
LEGEND = (
    "Test accuracy (%) of the last epoch, mean ± standard deviation over seeds; "
    "bold: the best of a column and all that cannot be told apart from it (docs/scores.md); "
    "the mean of the group means is the headline; where a task is missing, averages over it are too. "
    "Costs are means over the tasks that are there; time "
    "is that of the median epoch after the first, which reads frozen features from "
    "the feature cache where there is one (its bytes are in no peak); runs counts those that finished."
)


def report(runs: pd.DataFrame) -> list[Table]:
    """One table for each suite, backbone and recipe."""
    return [_table(comparison) for comparison in comparisons(runs)]


def _table(comparison: Comparison) -> Table:
    columns = filled(comparison, summaries(comparison))
    caption = f"{conditions(comparison)} {LEGEND}"
    return Table.of_columns(f"accuracy-{comparison.name}", caption, columns, failures(comparison.runs))


def filled(comparison: Comparison, lines: Sequence[Summary]) -> list[Filled]:
    """Return all columns of some lines of a comparison."""
    groups = tasks_by_group(comparison.runs)
    return [
        named(lines),
        *_means(groups, lines),
        *class_means(comparison, lines),
        *about(comparison, lines),
        *_tasks(groups, lines),
    ]


def _means(groups: dict[str, list[str]], lines: Sequence[Summary]) -> list[Filled]:
    """The headline, the plain mean, and the mean of each group."""
    count = sum(map(len, groups.values()))
    return [
        (_score("mean_of_groups", f"of {len(groups)} groups", AVERAGES, MEAN), [line.headline for line in lines]),
        (_score("mean_of_tasks", f"of {count} tasks", AVERAGES, MEAN), [line.plain for line in lines]),
        *((_score(f"{name}_mean", name, AVERAGES, MEAN), [line.groups[name] for line in lines]) for name in groups),
    ]


def _tasks(groups: dict[str, list[str]], lines: Sequence[Summary]) -> list[Filled]:
    """A block for each group."""
    return [
        (replace(_score(task, task, group), detail=True), [line.tasks[task] for line in lines])
        for group, tasks in groups.items()
        for task in tasks
    ]


def _score(key: str, label: str, block: str, metric: Metric = ACCURACY) -> Column:
    return Column(f"test_accuracy_{key}", label, block, metric)
