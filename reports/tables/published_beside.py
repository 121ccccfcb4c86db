"""Published rows beside our lines: what was printed, ours by the same choice of epoch, and the difference."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, present
from reports.tables.counted import CONVENTIONS, counted
from reports.tables.layout import Layout, Place
from reports.tables.metrics import MILLIONS, Metric
from reports.tables.ours import seeds
from reports.tables.published import Printed, fitting
from reports.tables.summary import Summary, summaries
from reports.tables.table import Cell, Column, Table
from reports.tables.theirs import gap, theirs

__all__ = ["PARAMETERS", "obtained", "table", "without_best"]

PARAMETERS = Metric("parameters", "M", MILLIONS, 3, None, "parameters as the source counts")
LEGEND = (
    "Test accuracy (%); below each line what publications printed for the method, by recipes of their own, and ours "
    "minus theirs in points. Ours is of the last epoch, but of the best epoch on test beside rows marked best, which "
    "were chosen so. Means in parentheses follow from the printed tasks and were not printed."
)


@dataclass(frozen=True)
class Beside:
    """A line of ours by its last and by its best epoch, and the published rows of that method."""

    last: Summary
    best: Summary | None
    rows: Sequence[Printed]

    def ours(self, row: Printed) -> Summary | None:
        """By the choice of the row; where that is not known, the last."""
        return self.best if row.selection == "best_on_test" else self.last


def table(
    name: str, comparison: Comparison, layout: Layout, rows: Sequence[Printed], notes: Sequence[str]
) -> Table | None:
    """Our lines that have a published row, each with its rows; None where there is none."""
    known = list(_beside(comparison, rows))
    if not known:
        return None
    places = [replace(place, column=without_best(place.column)) for place in layout.places()]
    columns = (*_about(), *(place.column for place in places))
    lines = [line for each in known for line in _rows(each, layout, places)]
    filled = [place for place in range(len(columns)) if any(line[place] != Cell() for line in lines)]
    return Table(
        name,
        f"{conditions(comparison)} {LEGEND}",
        tuple(columns[place] for place in filled),
        tuple(tuple(line[place] for place in filled) for line in lines),
        (*notes, *_notes(known)),
    )


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
        Column("parameters_printed", "printed", block, PARAMETERS),
        Column("parameters_ours", "ours", block, PARAMETERS),
        Column("counted", "counted"),
    )


def _rows(each: Beside, layout: Layout, places: Sequence[Place]) -> Iterator[tuple[Cell, ...]]:
    """Ours, then each publication with the difference under it."""
    label, best = each.last.label, each.best
    yield _ours(label, each.last, places)
    if best is not None and any(row.selection == "best_on_test" for row in each.rows):
        yield _ours(f"{label}, best epoch on test", best, places)
    for row in each.rows:
        printed = [theirs(row, layout, place) for place in places]
        yield (Cell(word=f"- {row.title}"), Cell(), *_parameters(each.last, row), *printed)
        ours = each.ours(row)
        if ours is not None:
            gaps = [gap(place.ours(ours), cell, place) for place, cell in zip(places, printed, strict=True)]
            yield (Cell(word="- difference"), Cell(), Cell(), Cell(), Cell(), *gaps)


def _ours(label: str, line: Summary, places: Sequence[Place]) -> tuple[Cell, ...]:
    blank = Cell(), Cell(), Cell()
    return (Cell(word=label), Cell(word=seeds(line)), *blank, *(place.ours(line) for place in places))


def _parameters(line: Summary, row: Printed) -> tuple[Cell, Cell, Cell]:
    if not row.parameters:
        return Cell(), Cell(), Cell()
    value = float(row.parameters) / MILLIONS
    return Cell(value, printed=row.parameters), Cell(counted(line, row.counted)), Cell(word=CONVENTIONS[row.counted])


def without_best(column: Column) -> Column:
    """Ours and theirs share a column here, so that none is marked as its best."""
    return replace(column, metric=column.metric and replace(column.metric, better=None))


def _notes(known: Sequence[Beside]) -> list[str]:
    notes = obtained(row for each in known for row in each.rows)
    unbest = [each.last.label for each in known if each.best is None and _chosen(each.rows)]
    if unbest:
        notes.append(f"No best epoch on test was recorded for {', '.join(unbest)}: no difference to rows chosen so.")
    return notes


def obtained(rows: Iterable[Printed]) -> list[str]:
    """How numbers were obtained that were not read where they were printed, and other remarks, once for all rows."""
    alike: dict[tuple[str, ...], dict[str, dict[str, None]]] = {}  # by notes, the rows of each source in their order
    for row in rows:
        if row.notes:
            alike.setdefault(row.notes, {}).setdefault(row.source, {})[row.row] = None
    return [f"{_places(sources)}: {'; '.join(said)}." for said, sources in alike.items()]


def _places(sources: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{source} ({', '.join(rows)})" for source, rows in sources.items())


def _chosen(rows: Sequence[Printed]) -> bool:
    return any(row.selection == "best_on_test" for row in rows)
