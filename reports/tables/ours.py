"""The tables of our own runs: score columns by group and average, costs, conditions, seeds."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pandas as pd

from reports.tables.captions import conditions, failures
from reports.tables.comparison import PROTOCOL, Comparison, label, origin, values, written
from reports.tables.summary import COSTS, Summary, summaries
from reports.tables.table import METRICS, Cell, Column, Metric, Table

__all__ = ["AVERAGES", "MEAN", "Filled", "Layout", "ScoreColumn", "about", "named", "table"]

ACCURACY = METRICS["test_accuracy"]
MEAN = replace(ACCURACY, digits=2)
AVERAGES = "mean accuracy (%)"  # the block of all means
Filled = tuple[Column, Sequence[Cell]]  # a column with its cells, one a line
LEGEND = (
    "Test accuracy (%) of the last epoch, mean ± standard deviation over the seeds named; bold: the best of a column "
    "and all that cannot be told apart from it (docs/scores.md); where a task is missing, averages over it are too. "
    "Costs are means over the tasks that are there."
)


@dataclass(frozen=True)
class ScoreColumn:
    """Holds a column and what it shows: the score of a task, the mean of a group, or an average by its convention."""

    kind: Literal["task", "group", "mean"]
    name: str
    column: Column
    whole: bool = True  # of an average: all of its tasks are among the columns

    def ours(self, line: Summary) -> Cell:
        """Return the cell of a line of ours; an average of which some tasks have no column is empty."""
        if self.kind == "task":
            return line.tasks[self.name]
        if not self.whole:
            return Cell()
        if self.kind == "group":
            return line.groups[self.name]
        return line.headline if self.name == "mean_of_groups" else line.plain


@dataclass(frozen=True)
class Layout:
    """Holds the tasks by group and says which averages are shown; one group alone has only the mean over tasks.

    `sizes` is how many tasks the suite has in each group: where some were never run there is no average over them.
    Without `tasks` there are means alone, without `averages` only those of groups.
    """

    groups: Mapping[str, Sequence[str]]
    sizes: Mapping[str, int]
    tasks: bool = True
    averages: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)  # of tasks whose name is not what a column shows

    def score_columns(self) -> list[ScoreColumn]:
        """Return the columns of scores from left to right."""
        found: list[ScoreColumn] = []
        for group, tasks in self.groups.items():
            shown = tasks if self.tasks else ()
            found += [ScoreColumn("task", task, self._column(task, group)) for task in shown]
            if len(self.sizes) > 1 and self.sizes.get(group) != 1:
                label, block = ("mean", group) if self.tasks else (group, AVERAGES)
                column = Column(f"test_accuracy_{group}_mean", label, block, MEAN)
                found += [ScoreColumn("group", group, column, self._is_whole(group))]
        return [*found, *(self._averages() if self.averages else ())]

    def means(self) -> list[ScoreColumn]:
        """Return the averages, then the means of groups, all in one block."""
        return sorted(replace(self, tasks=False).score_columns(), key=lambda score: score.kind == "group")

    def _column(self, task: str, group: str) -> Column:
        return Column(f"test_accuracy_{task}", self.labels.get(task, task), group, ACCURACY, detail=True)

    def _is_whole(self, group: str) -> bool:
        return len(self.groups.get(group, ())) >= self.sizes.get(group, 0)

    def _averages(self) -> list[ScoreColumn]:
        labels = {"mean_of_groups": f"of {len(self.sizes)} groups"} if len(self.sizes) > 1 else {}
        labels |= {"mean_of_tasks": f"of {sum(self.sizes.values())} tasks"}
        whole = all(map(self._is_whole, self.sizes))
        return [
            ScoreColumn("mean", name, Column(f"test_accuracy_{name}", label, AVERAGES, MEAN), whole)
            for name, label in labels.items()
        ]


def named(lines: Sequence[Summary]) -> Filled:
    """Return the first column, which names the lines."""
    return Column("method", "method"), [Cell(word=line.label) for line in lines]


def about(comparison: Comparison, lines: Sequence[Summary]) -> list[Filled]:
    """Return the columns of costs, of conditions that differ between lines, and of the number of runs."""
    conditions = [f"recipe_{field}" for field in comparison.differing] + _devices(comparison.runs)
    costs = [name for name in COSTS if any(line.costs[name] != Cell() for line in lines)]
    return [
        *((Column.of(name), [line.costs[name] for line in lines]) for name in costs),
        *(_words(name, lines) for name in conditions),
        *_settings(comparison, lines),
        (Column("runs", "runs", metric=Metric("runs", "", 1, 0)), [_finished(line) for line in lines]),
    ]


def _settings(comparison: Comparison, lines: Sequence[Summary]) -> list[Filled]:
    """Where the hyper-parameters come from and, where validation images chose them, what was chosen."""
    found: list[Filled] = [
        (Column("hyper_parameters", "hyper-parameters"), [Cell(word=origin(comparison.recipe))] * len(lines))
    ]
    if origin(comparison.recipe) == "validation-chosen":
        varied = {name for name in map(str, comparison.runs) if len(values(comparison.runs, name)) > 1}
        found.append(
            (Column("chosen", "chosen values", detail=True), [Cell(word=_chosen(line.runs, varied)) for line in lines])
        )
    return found


def _chosen(runs: pd.DataFrame, varied: Collection[str]) -> str:
    """Rate, decay, the method's own numbers and whatever else differs between runs, with the tasks of each value."""
    fields = [f"recipe_{field}" for field in PROTOCOL]
    own = [str(column) for column in runs if str(column).startswith("method_") and _is_number(runs[column])]
    others = [column for column in varied if column.startswith(("recipe_", "method_")) and column not in fields]
    said = []
    for column in dict.fromkeys(["recipe_learning_rate", "recipe_weight_decay", *own, *sorted(others)]):
        known = values(runs, column)
        tasks = {value: runs[[written(each) == value for each in runs[column]]]["task"].unique() for value in known}
        each = [f"{value} ({', '.join(tasks[value])})" if len(known) > 1 else value for value in known]
        said += [f"{label(column)} {', '.join(each)}"] if each else []
    return "; ".join(said)


def _is_number(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _devices(runs: pd.DataFrame) -> list[str]:
    return ["where_device"] if len(values(runs, "where_device")) > 1 else []


def _words(name: str, lines: Sequence[Summary]) -> Filled:
    return Column(name, label(name)), [Cell(word=" / ".join(values(line.runs, name))) for line in lines]


def _finished(line: Summary) -> Cell:
    return Cell(int((line.runs["status"] == "ok").sum()))


def table(name: str, comparison: Comparison, layout: Layout, notes: Sequence[str]) -> Table:
    """Make the table of our runs, with lines in the order of the published tables."""
    lines = summaries(comparison)
    filled = [named(lines), *_filled(layout.means(), lines), *about(comparison, lines)]
    filled += [(Column("seeds", "seeds"), [Cell(word=seeds(line)) for line in lines])]
    filled += _filled([score for score in layout.score_columns() if score.kind == "task"], lines)
    notes = (*notes, *failures(comparison.runs))
    return Table.of_columns(name, f"{conditions(comparison)} {LEGEND}", filled, notes)


def _filled(shown: Sequence[ScoreColumn], lines: Sequence[Summary]) -> list[Filled]:
    return [(score.column, [score.ours(line) for line in lines]) for score in shown]


def seeds(line: Summary) -> str:
    """Write the seeds of a line: `0, 2`, or `0..4` where there are more than two in a row."""
    known = values(line.runs, "seed")
    whole = len(known) > 2 and int(known[-1]) - int(known[0]) == len(known) - 1
    return f"{known[0]}..{known[-1]}" if whole else ", ".join(known)
