"""The score columns that a suite's tables share, ours and those beside published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reports.base import Cell, Column
from reports.metrics import METRICS
from reports.summary import Summary

__all__ = ["Layout", "Place"]

ACCURACY = METRICS["test_accuracy"]
MEAN = replace(ACCURACY, digits=2)


@dataclass(frozen=True)
class Place:
    """A column and what stands in it: the score of a task, the mean of a group, or an average by its convention."""

    kind: Literal["task", "group", "mean"]
    name: str
    column: Column

    def ours(self, line: Summary) -> Cell:
        """The cell of a line of ours."""
        if self.kind == "task":
            return line.tasks[self.name]
        if self.kind == "group":
            return line.groups[self.name]
        return line.headline if self.name == "mean_of_groups" else line.plain


@dataclass(frozen=True)
class Layout:
    """Tasks by group, and which averages are shown: of one group there is only the plain mean over tasks.

    Without `tasks` there are means alone, without `averages` only those of groups.
    """

    groups: Mapping[str, Sequence[str]]
    tasks: bool = True
    averages: bool = True

    def places(self) -> list[Place]:
        """From left to right."""
        found: list[Place] = []
        for group, tasks in self.groups.items():
            shown = tasks if self.tasks else ()
            found += [Place("task", task, Column(f"test_accuracy_{task}", task, group, ACCURACY)) for task in shown]
            if len(self.groups) > 1 and len(tasks) > 1:
                label, block = ("mean", group) if self.tasks else (group, "mean")
                found += [Place("group", group, Column(f"test_accuracy_{group}_mean", label, block, MEAN))]
        return [*found, *(self._averages() if self.averages else ())]

    def _averages(self) -> list[Place]:
        count = sum(map(len, self.groups.values()))
        labels = {"mean_of_groups": f"of {len(self.groups)} groups"} if len(self.groups) > 1 else {}
        labels |= {"mean_of_tasks": f"of {count} tasks"}
        return [
            Place("mean", name, Column(f"test_accuracy_{name}", label, "mean", MEAN)) for name, label in labels.items()
        ]
