"""A table as Markdown: two-line headings, the best of a column in bold, columns padded so that the source reads too."""

from __future__ import annotations

import re

from reports.tables.table import Table

__all__ = ["text"]


def text(table: Table) -> str:
    """Caption, table, notes."""
    columns = [_column(table, place) for place in range(len(table.columns))]
    head, *body = (f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True))
    rule = "|".join("-" * (len(column[0]) + 1) + (":" if place else "-") for place, column in enumerate(columns))
    notes = [f"- {_escaped(note)}" for note in table.notes]
    parts = [_escaped(table.caption), "\n".join([head, f"|{rule}|", *body]), "\n".join(notes)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _column(table: Table, place: int) -> list[str]:
    """Heading and cells, all of one width."""
    column, best = table.columns[place], table.best(place)
    heading = "<br>".join(_escaped(part) for part in (column.block, column.label) if part)
    cells = [_cell(table, row, place, row in best) for row in range(len(table.rows))]
    width = max(map(len, [heading, *cells]))
    return [cell.rjust(width) if place else cell.ljust(width) for cell in [heading, *cells]]


def _cell(table: Table, row: int, place: int, best: bool) -> str:
    column, cell = table.columns[place], table.rows[row][place]
    number, spread = _escaped(column.number(cell)), column.spread(cell)
    return (f"**{number}**" if best else number) + (f" ± {spread}" if spread else "")


def _escaped(plain: str) -> str:
    """One line in which no character starts markup."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", " ".join(plain.split()))
