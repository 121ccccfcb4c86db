"""A suite's table of our runs alone: the averages, costs, seeds, then every task."""

from __future__ import annotations

from collections.abc import Sequence

from reports.tables.captions import conditions, failures
from reports.tables.columns import Filled, about, named
from reports.tables.comparison import Comparison, values
from reports.tables.layout import Layout, Place
from reports.tables.summary import Summary, summaries
from reports.tables.table import Cell, Column, Table

__all__ = ["table"]

LEGEND = (
    "Test accuracy (%) of the last epoch, mean ± standard deviation over the seeds named; where a task is missing, "
    "averages over it are too. Costs are means over the tasks that are there."
)


def table(name: str, comparison: Comparison, layout: Layout, notes: Sequence[str]) -> Table:
    """Lines in the order of the published tables."""
    lines = summaries(comparison)
    filled = [named(lines), *_scores(layout.means(), lines), *about(comparison, lines)]
    filled += [(Column("seeds", "seeds"), [Cell(word=seeds(line)) for line in lines])]
    filled += _scores([place for place in layout.places() if place.kind == "task"], lines)
    return Table(
        name,
        f"{conditions(comparison)} {LEGEND}",
        tuple(column for column, _ in filled),
        tuple(zip(*(cells for _, cells in filled), strict=True)),
        (*notes, *failures(comparison.runs)),
    )


def _scores(places: Sequence[Place], lines: Sequence[Summary]) -> list[Filled]:
    return [(place.column, [place.ours(line) for line in lines]) for place in places]


def seeds(line: Summary) -> str:
    """A range where there are more than two in a row: `0..4`."""
    known = values(line.runs, "seed")
    whole = len(known) > 2 and int(known[-1]) - int(known[0]) == len(known) - 1
    return f"{known[0]}..{known[-1]}" if whole else ", ".join(known)
