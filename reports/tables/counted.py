"""Trainable parameters counted as a publication counted them (docs/protocols.md, 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reports.tables.comparison import present
from reports.tables.means import mean_of_group_means, plain_mean
from reports.tables.order import tasks_by_group
from reports.tables.summary import Summary

__all__ = ["CONVENTIONS", "counted"]

HEAD = 769  # scalars a class of the linear head of ViT-B/16, the one network whose printed counts are compared
CIFAR = "cifar"
COLUMNS = ("task", "classes", "trainable", "trainable_without_head", "printed_extra")

CONVENTIONS = {
    "cifar_with_linear_head": "CIFAR-100, with a linear head",
    "with_head_mean_of_tasks": "with head, mean of tasks",
    "without_head_mean_of_tasks": "without head, mean of tasks",
    "without_head_mean_of_groups": "without head, mean of groups",
    "without_head": "without head",
    "unexplained": "unexplained",
    "": "",
}


def counted(line: Summary, convention: str) -> float | None:
    """Scalars of a line of ours, what the publication's code registers and never uses included; None where unknown."""
    if convention == "cifar_with_linear_head":
        return _by_task(line, _with_linear_head).get(CIFAR)
    if convention == "with_head_mean_of_tasks":
        return plain_mean(_by_task(line, lambda run: _sum(run, "trainable")).values())
    if convention in ("without_head", "without_head_mean_of_tasks"):
        return plain_mean(_by_task(line, _without_head).values())
    if convention == "without_head_mean_of_groups":
        return mean_of_group_means(_by_task(line, _without_head), tasks_by_group(line.runs))
    return None


Run = Mapping[Any, Any]
Count = Callable[[Run], float | None]


def _by_task(line: Summary, count: Count) -> dict[str, float | None]:
    """A task that the line lacks has no count and leaves no mean, since counts may differ from task to task."""
    columns = [name for name in COLUMNS if name in line.runs]
    first = line.runs[columns].drop_duplicates("task").to_dict("records")
    known = {run["task"]: count(run) for run in first}
    return {task: known.get(task) for task in line.tasks}


def _without_head(run: Run) -> float | None:
    return _sum(run, "trainable_without_head")


def _with_linear_head(run: Run) -> float | None:
    own = _without_head(run)
    return None if own is None else own + HEAD * run["classes"]


def _sum(run: Run, field: str) -> float | None:
    parts = [run.get(field), run.get("printed_extra")]
    return sum(float(part) for part in parts if part is not None) if all(map(present, parts)) else None
