"""Trainable parameters counted as a publication counted them (card vtab_protocol.md, section 7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from reports.means import mean_of_group_means, plain_mean
from reports.order import tasks_by_group
from reports.protocol import present
from reports.summary import Summary

__all__ = ["CONVENTIONS", "counted"]

HEAD = 769  # scalars a class of the linear head of ViT-B/16, the one network whose printed counts are compared
CIFAR = "cifar"

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
        return _of_task(line, CIFAR, _with_linear_head)
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
    """Tasks that the line lacks leave no mean, since a count may differ from task to task."""
    return {task: _of_task(line, task, count) for task in line.tasks}


def _of_task(line: Summary, task: str, count: Count) -> float | None:
    runs = line.runs[line.runs["task"] == task].to_dict("records")
    return count(runs[0]) if runs else None


def _without_head(run: Run) -> float | None:
    return _sum(run, "trainable_without_head")


def _with_linear_head(run: Run) -> float | None:
    own = _without_head(run)
    return None if own is None else own + HEAD * run["classes"]


def _sum(run: Run, field: str) -> float | None:
    parts = [run.get(field), run.get("printed_extra")]
    return sum(float(part) for part in parts if part is not None) if all(map(present, parts)) else None
