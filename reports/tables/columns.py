"""Columns that begin or end a table of runs: the method, its costs, differing conditions, the number of runs."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.tables.comparison import Comparison, label, values
from reports.tables.metrics import METRICS, Metric
from reports.tables.summary import COSTS, Summary
from reports.tables.table import Cell, Column

__all__ = ["Filled", "about", "named"]

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
