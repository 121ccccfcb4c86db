"""The published rows of a suite alone, one table for each backbone and pre-training: no run is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from reports.tables.counted import CONVENTIONS
from reports.tables.layout import AVERAGES, MEAN, Layout, Place
from reports.tables.metrics import MILLIONS
from reports.tables.published import SELECTIONS, Printed, by_weights, tasks
from reports.tables.published_beside import PARAMETERS, obtained, without_best
from reports.tables.table import Cell, Column, Table
from reports.tables.theirs import theirs
from results import slug

__all__ = ["tables"]

UNSTATED = Place("mean", "unstated", Column("test_accuracy_unstated_mean", "not said of what", AVERAGES, MEAN), False)
LEGEND = (
    "The papers' own numbers, or what others reported where the source says so; none was measured here. "
    "Test accuracy (%) with the printed digits, by recipes "
    "of their own: of the last epoch, of the best epoch on test, or of an epoch that is not known. Numbers stand as "
    "they are printed in the source named, but for those that the notes say were read off a figure or in another "
    "source. Means in parentheses follow from the printed numbers and were not printed."
)


def tables(subject: str, sizes: Mapping[str, int], labels: Mapping[str, str] | None = None) -> list[Table]:
    """Make the tables of the rows in `results/published/<subject>.csv`, which has the tasks in the suite's order.

    `sizes` is how many tasks the suite has in each group, `labels` what columns show in place of a task's name.
    """
    left = iter(tasks(subject))
    groups = {group: list(islice(left, size)) for group, size in sizes.items()}
    layout = Layout(groups, sizes, averages=subject != "few_shot", labels=labels or {})
    return [_table(subject, *weights, rows, layout) for weights, rows in by_weights(subject).items()]


def _table(subject: str, backbone: str, pretraining: str, rows: Sequence[Printed], layout: Layout) -> Table:
    places = [*layout.places(), UNSTATED]
    about = Column("method", "method"), Column("spec", "named here"), Column("source", "source")
    counts = Column("parameters", "printed", PARAMETERS.block, PARAMETERS)
    columns = (
        *about,
        Column("epoch", "epoch"),
        counts,
        Column("counted", "counted"),
        *(without_best(place.column) for place in places),
    )
    lines = [(*_about(row), *(theirs(row, layout, place) for place in places)) for row in rows]
    filled = [place for place in range(len(columns)) if any(line[place] != Cell() for line in lines)]
    return Table(
        "-".join(slug(part) for part in (subject, backbone, pretraining, "published") if part),
        f"{subject}, backbone {backbone}, pre-training {pretraining or 'not known'}. {LEGEND}",
        tuple(columns[place] for place in filled),
        tuple(tuple(line[place] for place in filled) for line in lines),
        tuple(obtained(rows)),
    )


def _about(row: Printed) -> tuple[Cell, ...]:
    count = Cell(float(row.parameters.strip("()")) / MILLIONS, printed=row.parameters) if row.parameters else Cell()
    epoch = SELECTIONS[row.selection].removeprefix("epoch ")
    words = row.row, row.spec, row.source, epoch
    return *(Cell(word=word) for word in words), count, Cell(word=CONVENTIONS[row.counted])
