"""Accuracy against shots, five fine-grained sets and their mean, beside NOAH's baselines (DTL Figure 3)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from reports.figures.curves import Curve, draw_shots
from reports.tables import published as papers
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, tasks_by_group
from reports.tables.ours import Layout
from reports.tables.published import Printed, fitting, tables_alone
from reports.tables.published_beside import pair
from reports.tables.summary import Summary, of_suite, summaries
from reports.tables.table import PERCENT, Figure, Table

__all__ = ["published", "report", "set_and_shots"]

SUITE = "few_shot"
SETS = ("food101", "cars", "flowers102", "aircraft", "pets")  # in the order of the published figures
SHOTS = (1, 2, 4, 8, 16)  # that were published
LEGEND = (
    "Test accuracy (%) of the last epoch, mean over seeds with the standard deviation; the mean over sets is drawn "
    "where all are there. Dashed with open markers: what was printed for the method."
)


def report(runs: pd.DataFrame) -> list[Table | Figure]:
    """A figure and two tables for each backbone and recipe."""
    return [item for comparison, notes in of_suite(runs, SUITE) for item in _items(comparison, notes)]


def published() -> list[Table]:
    """The publications' numbers alone, one table for each backbone and pre-training."""
    labels = {f"{name}-shots{shots}": name for name in SETS for shots in SHOTS}
    return tables_alone(SUITE, {f"{shots}-shot": len(SETS) for shots in SHOTS}, labels)


def set_and_shots(task: str) -> tuple[str, int] | None:
    """Take the name of a task apart: `food101-shots4` is ("food101", 4); None where it does not say how many shots."""
    name, _, shots = task.partition("-shots")
    return (name, int(shots)) if shots.isdecimal() else None


def _items(comparison: Comparison, notes: tuple[str, ...]) -> Iterator[Table | Figure]:
    yield from pair(SUITE, comparison, notes, _layout(comparison))
    curves = list(_curves(comparison))
    known = {name for curve in curves if not curve.printed for name, _ in curve.points}
    if known:
        names = [*(name for name in SETS if name in known), *sorted(known - {*SETS})]
        yield Figure(f"{comparison.name}-figure", f"{conditions(comparison)} {LEGEND}", draw_shots(curves, names))


def _layout(comparison: Comparison) -> Layout:
    """A block for each number of shots, whose mean is the one that papers show."""
    groups = tasks_by_group(comparison.runs)
    labels = {task: task.rpartition("-")[0] for tasks in groups.values() for task in tasks}
    return Layout(groups, dict.fromkeys(groups, len(SETS)), averages=False, labels=labels)


def _curves(comparison: Comparison) -> Iterator[Curve]:
    rows = papers.published(SUITE, comparison)
    for line in summaries(comparison):
        yield _ours(line)
        for row in fitting(rows, str(line.runs["method"].iloc[0])):
            yield _printed(line.label, row)


def _ours(line: Summary) -> Curve:
    cells = {set_and_shots(task): cell for task, cell in line.tasks.items()}
    points = {
        key: (PERCENT * cell.value, PERCENT * (cell.spread or 0.0))
        for key, cell in cells.items()
        if key and cell.value is not None
    }
    return Curve(line.label, False, points)


def _printed(label: str, row: Printed) -> Curve:
    values = {set_and_shots(task): float(text) for task, text in row.scores.items()}
    return Curve(label, True, {key: (value, 0.0) for key, value in values.items() if key})
