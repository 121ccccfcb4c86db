"""The score columns that a suite's tables share, ours and those beside published numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from reports.tables.metrics import METRICS
from reports.tables.summary import Summary
from reports.tables.table import Cell, Column

__all__ = ["AVERAGES", "MEAN", "Layout", "Place"]

ACCURACY = METRICS["test_accuracy"]
MEAN = replace(ACCURACY, digits=2)
AVERAGES = "mean accuracy (%)"  # the block of all means


@dataclass(frozen=True)
class Place:
    """A column and what stands in it: the score of a task, the mean of a group, or an average by its convention."""

    kind: Literal["task", "group", "mean"]
    name: str
    column: Column
    whole: bool = True  # of an average: all of its tasks are among the columns

    def ours(self, line: Summary) -> Cell:
        """The cell of a line of ours; an average over a part of its tasks is none."""
        if self.kind == "task":
            return line.tasks[self.name]
        if not self.whole:
            return Cell()
        if self.kind == "group":
            return line.groups[self.name]
        return line.headline if self.name == "mean_of_groups" else line.plain


@dataclass(frozen=True)
class Layout:
    """Tasks by group, and which averages are shown: of one group there is only the plain mean over tasks.

    `sizes` is how many tasks the suite has in each group: where some were never run there is no average over them.
    Without `tasks` there are means alone, without `averages` only those of groups.
    """

    groups: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]
    tasks: bool = True
    averages: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)  # of tasks whose name is not what a column shows

    def places(self) -> list[Place]:
        """From left to right."""
        found: list[Place] = []
        for group, tasks in self.groups.items():
            shown = tasks if self.tasks else ()
            found += [Place("task", task, self._column(task, group)) for task in shown]
            if len(self.sizes) > 1 and self.sizes.get(group) != 1:
                label, block = ("mean", group) if self.tasks else (group, AVERAGES)
                column = Column(f"test_accuracy_{group}_mean", label, block, MEAN)
                found += [Place("group", group, column, self._is_whole(group))]
        return [*found, *(self._averages() if self.averages else ())]

    def means(self) -> list[Place]:
        """The averages, then the means of groups, all in one block."""
        return sorted(replace(self, tasks=False).places(), key=lambda place: place.kind == "group")

    def _column(self, task: str, group: str) -> Column:
        return Column(f"test_accuracy_{task}", self.labels.get(task, task), group, ACCURACY)

    def _is_whole(self, group: str) -> bool:
        return len(self.groups.get(group, ())) >= self.sizes.get(group, 0)

    def _averages(self) -> list[Place]:
        labels = {"mean_of_groups": f"of {len(self.sizes)} groups"} if len(self.sizes) > 1 else {}
        labels |= {"mean_of_tasks": f"of {sum(self.sizes.values())} tasks"}
        whole = all(map(self._is_whole, self.sizes))
        return [
            Place("mean", name, Column(f"test_accuracy_{name}", label, AVERAGES, MEAN), whole)
            for name, label in labels.items()
        ]
