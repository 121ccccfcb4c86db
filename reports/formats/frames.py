"""A table as a pandas data frame: of its raw numbers, which is its CSV, or of the text of its cells, as in Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from reports.tables.table import Cell, Column, Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["csv", "markdown", "raw", "shown"]

Write = Callable[[Column, Cell, bool], str]  # the text of a cell; True where it is the best of its column


def raw(table: Table) -> pd.DataFrame:
    """Return the numbers in stored units under the keys of the columns, empty where nothing is known.

    A column that has deviations is followed by `<key>_std`, one that has intervals by `<key>_low` and `<key>_high`, and
    one that has words in place of numbers by `<key>_status`.
    """
    import pandas as pd  # here, because the command line imports the reports and must answer --help at once

    columns: list[tuple[str, list[object]]] = []
    for index, column in enumerate(table.columns):
        cells = [row[index] for row in table.rows]
        if column.metric is None:
            columns.append((column.key, [cell.word for cell in cells]))
            continue
        columns.append((column.key, [cell.value for cell in cells]))
        if any(cell.spread is not None for cell in cells):
            columns.append((f"{column.key}_std", [cell.spread for cell in cells]))
        if any(cell.estimate for cell in cells):
            columns.append((f"{column.key}_low", [cell.estimate and cell.estimate.low for cell in cells]))
            columns.append((f"{column.key}_high", [cell.estimate and cell.estimate.high for cell in cells]))
        if any(cell.word for cell in cells):
            columns.append((f"{column.key}_status", [cell.word for cell in cells]))
    found = pd.DataFrame(dict(enumerate(cells for _, cells in columns)), dtype=object)  # no integer becomes a float
    return found.set_axis([key for key, _ in columns], axis=1)


def shown(table: Table, write: Write, heading: Callable[[Column], tuple[str, str]]) -> pd.DataFrame:
    """Return the text of every cell; the first column is the index, the others stand below their block and label.

    Without blocks there are labels alone. `heading` gives both as the format writes them.
    """
    import pandas as pd

    best = [table.best(index) for index in range(len(table.columns))]
    texts = [
        [write(column, cell, row in best[index]) for index, (column, cell) in enumerate(_pairs(table, row))]
        for row in range(len(table.rows))
    ]
    (_, first), *others = map(heading, table.columns)
    names, index = ["", first], pd.Index([row[0] for row in texts], dtype=object)
    columns = pd.MultiIndex.from_arrays([[block for block, _ in others], [label for _, label in others]], names=names)
    frame = pd.DataFrame([row[1:] for row in texts], index, columns, dtype=object)
    return frame if any(column.block for column in table.columns) else frame.droplevel(0, axis=1)


def csv(table: Table) -> str:
    """Write the raw numbers in full precision, for other programs."""
    return raw(table).to_csv(index=False, lineterminator="\n")


def markdown(table: Table) -> str:
    """Write caption, table and notes; the best of a column is bold."""
    headings = ["<br>".join(part for part in _heading(column) if part) for column in table.columns]
    frame = shown(table, _cell, _heading).reset_index().set_axis(headings, axis=1)
    alignment = ["left", *["right"] * (len(headings) - 1)]
    body = frame.to_markdown(index=False, disable_numparse=True, colalign=alignment)
    notes = "\n".join(f"- {_escaped(note)}" for note in table.notes)
    return "\n\n".join(part for part in (_escaped(table.caption), body, notes) if part) + "\n"


def _pairs(table: Table, row: int) -> list[tuple[Column, Cell]]:
    return list(zip(table.columns, table.rows[row], strict=True))


def _heading(column: Column) -> tuple[str, str]:
    return _escaped(column.block), _escaped(column.label)


def _cell(column: Column, cell: Cell, best: bool) -> str:
    number, spread = _escaped(column.number(cell)), column.spread(cell)
    return (f"**{number}**" if best else number) + (f" ± {spread}" if spread else "")


def _escaped(plain: str) -> str:
    """One line in which no character starts markup."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(plain.split()))
