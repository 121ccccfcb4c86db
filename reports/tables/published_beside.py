"""Published rows beside our lines: what was printed, ours by the same choice of epoch, and the difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reports.tables import ours
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, origin, present, tasks_by_group
from reports.tables.ours import Layout, ScoreColumn, seeds
from reports.tables.published import (
    CONVENTIONS,
    PARAMETERS,
    Printed,
    fitting,
    obtained,
    printed_cell,
    published,
    unknown_weights,
    without_best,
)
from reports.tables.summary import Summary, mean_of_group_means, plain_mean, summaries
from reports.tables.table import MILLIONS, Cell, Column, Table

__all__ = ["beside", "counted", "pair"]

HEAD = 769  # scalars a class of the linear head of ViT-B/16, the one network whose printed counts are compared
CIFAR = "cifar"
COLUMNS = ("task", "classes", "trainable", "trainable_without_head", "printed_extra")
Run = Mapping[Any, Any]
Count = Callable[[Run], float | None]
LEGEND = (
    "Test accuracy (%); below each line what publications printed for the method, by recipes of their own, and ours "
    "minus theirs in points. Ours is of the last epoch, but of the best epoch on test beside rows marked best, which "
    "were chosen so. Means in parentheses follow from the printed tasks and were not printed."
)


@dataclass(frozen=True)
class Beside:
    """Holds a line of ours by its last and by its best epoch, and the published rows of that method."""

    last: Summary
    best: Summary | None
    rows: Sequence[Printed]

    def ours(self, row: Printed) -> Summary | None:
        """Return our line by the epoch that the row was chosen by; where that is not known, the last."""
        return self.best if row.selection == "best_on_test" else self.last


def beside(
    name: str, comparison: Comparison, layout: Layout, rows: Sequence[Printed], notes: Sequence[str]
) -> Table | None:
    """Make the table of our lines that have published rows, each above its rows; None where no line has any."""
    known = list(_beside(comparison, rows))
    if not known:
        return None
    shown = [replace(score, column=without_best(score.column)) for score in layout.score_columns()]
    columns = (*_about(), *(score.column for score in shown))
    lines = [line for each in known for line in _rows(each, layout, shown)]
    caption = f"{conditions(comparison)} {LEGEND}"
    return Table(name, caption, columns, tuple(lines), (*notes, *_notes(known))).without_empty()


def _beside(comparison: Comparison, rows: Sequence[Printed]) -> Iterator[Beside]:
    lines = summaries(comparison)
    fits = {line.label: fitting(rows, str(line.runs["method"].iloc[0])) for line in lines}
    chosen = any(row.selection == "best_on_test" for found in fits.values() for row in found)
    best = _best(comparison) if chosen else {}
    for line in lines:
        if fits[line.label]:
            yield Beside(line, best.get(line.label), fits[line.label])


def _best(comparison: Comparison) -> Mapping[str, Summary]:
    """The lines by the best epoch on test, of runs that were evaluated in between."""
    runs = comparison.runs
    if "best_test_accuracy" not in runs or not any(map(present, runs["best_test_accuracy"])):
        return {}
    lines = summaries(replace(comparison, runs=runs.assign(test_accuracy=runs["best_test_accuracy"])))
    return {line.label: line for line in lines if any(cell.value is not None for cell in line.tasks.values())}


def _about() -> tuple[Column, ...]:
    block = PARAMETERS.block
    return (
        Column("method", "method"),
        Column("seeds", "seeds"),
        Column("hyper_parameters", "hyper-parameters"),
        Column("parameters_printed", "printed", block, PARAMETERS),
        Column("parameters_ours", "ours", block, PARAMETERS),
        Column("counted", "counted", detail=True),
    )


def _rows(each: Beside, layout: Layout, shown: Sequence[ScoreColumn]) -> Iterator[tuple[Cell, ...]]:
    """Ours, then each publication with the difference under it."""
    label, best = each.last.label, each.best
    yield _ours(label, each.last, shown)
    if best is not None and any(row.selection == "best_on_test" for row in each.rows):
        yield _ours(f"{label}, best epoch on test", best, shown)
    for row in each.rows:
        printed = [printed_cell(row, layout, score) for score in shown]
        yield (Cell(word=f"- {row.title}"), Cell(), Cell(word="as published"), *_parameters(each.last, row), *printed)
        ours = each.ours(row)
        if ours is not None:
            gaps = [gap(score.ours(ours), cell, score) for score, cell in zip(shown, printed, strict=True)]
            yield (Cell(word="- difference"), Cell(), Cell(), Cell(), Cell(), Cell(), *gaps)


def _ours(label: str, line: Summary, shown: Sequence[ScoreColumn]) -> tuple[Cell, ...]:
    blank = Cell(), Cell(), Cell()
    settings = Cell(word=origin(str(line.runs["recipe"].iloc[0])))
    return (Cell(word=label), Cell(word=seeds(line)), settings, *blank, *(score.ours(line) for score in shown))


def _parameters(line: Summary, row: Printed) -> tuple[Cell, Cell, Cell]:
    if not row.parameters:
        return Cell(), Cell(), Cell()
    value = float(row.parameters) / MILLIONS
    return Cell(value, printed=row.parameters), Cell(counted(line, row.counted)), Cell(word=CONVENTIONS[row.counted])


def _notes(known: Sequence[Beside]) -> list[str]:
    notes = obtained(row for each in known for row in each.rows)
    unbest = [each.last.label for each in known if each.best is None and _chosen(each.rows)]
    if unbest:
        notes.append(f"No best epoch on test was recorded for {', '.join(unbest)}: no difference to rows chosen so.")
    return notes


def _chosen(rows: Sequence[Printed]) -> bool:
    return any(row.selection == "best_on_test" for row in rows)


def pair(subject: str, comparison: Comparison, notes: Sequence[str], layout: Layout) -> list[Table]:
    """`subject` is the report's name and that of the published numbers; without a row that fits, there is one table."""
    name = comparison.name  # which starts with the suite, as the report does
    rows = published(subject, comparison)
    found = beside(f"{name}-published", comparison, layout, rows, [*notes, *unknown_weights(comparison)])
    return [ours.table(name, comparison, layout, notes), *([found] if found is not None else [])]


def gap(ours: Cell, printed: Cell, score: ScoreColumn) -> Cell:
    """Return ours minus theirs, with its sign."""
    if ours.value is None or printed.value is None or score.column.metric is None:
        return Cell()
    difference = ours.value - printed.value
    shown = round(difference * score.column.metric.scale, score.column.metric.digits) + 0.0  # no minus before a zero
    return Cell(difference, printed=f"{shown:+.{score.column.metric.digits}f}")


def counted(line: Summary, convention: str) -> float | None:
    """Count our trainable scalars as the publication did, with those its code never uses; None where unknown."""
    if convention == "cifar_with_linear_head":
        return _by_task(line, _with_linear_head).get(CIFAR)
    if convention == "with_head_mean_of_tasks":
        return plain_mean(_by_task(line, lambda run: _total(run, "trainable")).values())
    if convention in ("without_head", "without_head_mean_of_tasks"):
        return plain_mean(_by_task(line, _without_head).values())
    if convention == "without_head_mean_of_groups":
        return mean_of_group_means(_by_task(line, _without_head), tasks_by_group(line.runs))
    return None


def _by_task(line: Summary, count: Count) -> dict[str, float | None]:
    """A task that the line lacks has no count and leaves no mean, since counts may differ from task to task."""
    columns = [name for name in COLUMNS if name in line.runs]
    first = line.runs[columns].drop_duplicates("task").to_dict("records")
    known = {run["task"]: count(run) for run in first}
    return {task: known.get(task) for task in line.tasks}


def _without_head(run: Run) -> float | None:
    return _total(run, "trainable_without_head")


def _with_linear_head(run: Run) -> float | None:
    own = _without_head(run)
    return None if own is None else own + HEAD * run["classes"]


def _total(run: Run, field: str) -> float | None:
    parts = [run.get(field), run.get("printed_extra")]
    return sum(float(part) for part in parts if part is not None) if all(map(present, parts)) else None
