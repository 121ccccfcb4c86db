"""The cells of a published row, its digits kept, and how far ours are from them."""

from __future__ import annotations

from reports.tables.layout import Layout, Place
from reports.tables.means import group_means, mean_of_group_means, plain_mean
from reports.tables.metrics import METRICS
from reports.tables.published import Printed
from reports.tables.table import Cell

__all__ = ["gap", "theirs"]


def theirs(row: Printed, layout: Layout, place: Place) -> Cell:
    """The number as it was printed; a mean that was not, from the printed tasks and in parentheses."""
    known = {"task": row.scores, "group": row.groups, "mean": row.averages}[place.kind]
    if place.name in known:
        return Cell(_share(known[place.name]), printed=known[place.name])
    value = _mean(row, layout, place) if place.whole else None
    return Cell() if value is None else Cell(value, printed=f"({METRICS['test_accuracy'].scale * value:.2f})")


def _mean(row: Printed, layout: Layout, place: Place) -> float | None:
    scores: dict[str, float | None] = {task: _share(text) for task, text in row.scores.items()}
    if place.kind == "group":
        return group_means(scores, layout.groups)[place.name]
    if place.name == "mean_of_groups":
        return mean_of_group_means(scores, layout.groups)
    if place.name == "mean_of_tasks":
        return plain_mean(scores.get(task) for tasks in layout.groups.values() for task in tasks)
    return None


def gap(ours: Cell, printed: Cell, place: Place) -> Cell:
    """Ours minus theirs, with its sign."""
    if ours.value is None or printed.value is None or place.column.metric is None:
        return Cell()
    difference = ours.value - printed.value
    shown = round(difference * place.column.metric.scale, place.column.metric.digits) + 0.0  # no minus before a zero
    return Cell(difference, printed=f"{shown:+.{place.column.metric.digits}f}")


def _share(text: str) -> float:
    return float(text.strip("()")) / METRICS["test_accuracy"].scale
