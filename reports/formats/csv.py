"""A table as CSV for other programs: raw numbers in stored units, full precision, empty where nothing is known."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from reports.tables.table import Table

__all__ = ["text"]


def text(table: Table) -> str:
    """A column for each value, and beside it one for deviations and one for words where it has any."""
    columns = [column for place in range(len(table.columns)) for column in _columns(table, place)]
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(zip(*columns, strict=True))
    return file.getvalue()


def _columns(table: Table, place: int) -> Iterator[list[str]]:
    column, cells = table.columns[place], [row[place] for row in table.rows]
    if column.metric is None:
        yield [column.key, *(cell.word for cell in cells)]
        return
    yield [column.key, *(_raw(cell.value) for cell in cells)]
    if any(cell.spread is not None for cell in cells):
        yield [f"{column.key}_std", *(_raw(cell.spread) for cell in cells)]
    if any(cell.word for cell in cells):
        yield [f"{column.key}_status", *(cell.word for cell in cells)]


def _raw(value: float | None) -> str:
    return "" if value is None else repr(value)
