"""Test accuracy of every method: the averages, what they cost, then every task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reports.base import Cell, Column, Table
from reports.conditions import conditions, failures
from reports.layout import AVERAGES
from reports.metrics import METRICS, Metric
from reports.order import tasks_by_group
from reports.protocol import Comparison, comparisons, label, values
from reports.summary import COSTS, Summary, summaries

__all__ = ["Filled", "about", "named", "report"]

ACCURACY = METRICS["test_accuracy"]
MEAN = replace(ACCURACY, digits=2)
LEGEND = (
    "Test accuracy (%) of the last epoch, mean ± standard deviation over seeds; "
    "the mean of the group means is the headline; where a task is missing, averages over it are too. "
    "Costs are means over the tasks that are there; time "
    "is that of the median epoch after the first, which reads frozen features from "
    "the feature cache where there is one (its bytes are in no peak); runs counts those that finished."
)


def report(runs: pd.DataFrame) -> list[Table]:
    """One table for each suite, backbone and recipe."""
    return [_table(comparison) for comparison in comparisons(runs)]


def _table(comparison: Comparison) -> Table:
    lines, groups = summaries(comparison), tasks_by_group(comparison.runs)
    columns = [named(lines), *_means(groups, lines), *about(comparison, lines), *_tasks(groups, lines)]
    return Table(
        f"accuracy-{comparison.name}",
        f"{conditions(comparison)} {LEGEND}",
        tuple(column for column, _ in columns),
        tuple(zip(*(cells for _, cells in columns), strict=True)),
        failures(comparison.runs),
    )


Filled = tuple[Column, Sequence[Cell]]  # a column with its cells, one a line


def named(lines: Sequence[Summary]) -> Filled:
    """The first column."""
    return Column("method", "method"), [Cell(word=line.label) for line in lines]


def about(comparison: Comparison, lines: Sequence[Summary]) -> list[Filled]:
    """The costs, the conditions that are not the same in all lines, the number of runs."""
    conditions = [f"recipe_{field}" for field in comparison.differing] + _devices(comparison.runs)
    costs = [name for name in COSTS if any(line.costs[name] != Cell() for line in lines)]
    return [
        *(
            (
                Column(name, METRICS[name].label, METRICS[name].block, METRICS[name]),
                [line.costs[name] for line in lines],
            )
            for name in costs
        ),
        *(_words(name, lines) for name in conditions),
        (Column("runs", "runs", metric=Metric("runs", "", 1, 0)), [_finished(line) for line in lines]),
    ]


def _devices(runs: pd.DataFrame) -> list[str]:
    return ["where_device"] if len(values(runs, "where_device")) > 1 else []


def _words(name: str, lines: Sequence[Summary]) -> Filled:
    return Column(name, label(name)), [Cell(word=" / ".join(values(line.runs, name))) for line in lines]


def _finished(line: Summary) -> Cell:
    return Cell(int((line.runs["status"] == "ok").sum()))


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
        (_score(task, task, group), [line.tasks[task] for line in lines])
        for group, tasks in groups.items()
        for task in tasks
    ]


def _score(key: str, label: str, block: str, metric: Metric = ACCURACY) -> Column:
    return Column(f"test_accuracy_{key}", label, block, metric)
