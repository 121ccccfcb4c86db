"""A table on a terminal of any width: blocks of columns that do not fit go below, the methods repeated.

Of a table that would take too many lines so, only the columns that are no details, the first rows and notes are shown.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import rich.box
import rich.table
from rich.console import Console
from rich.text import Text

from reports.tables.table import Cell, Column, Table
from results import numbered

__all__ = ["show"]

PADDING = 3  # rich leaves one space on either side of a column and draws a blank rule between two
MOST_LINES = 60  # that the whole of a table may take
MOST_ROWS, MOST_NOTES = 100, 8  # of a longer one


def show(table: Table, console: Console, whole: str = "its files") -> None:
    """Print title, the parts of the table, caption and notes; of a long table the main columns, rows and notes.

    Args:
        whole: Where all of the table is to be found, for the sentence that says what is left out.
    """
    console.print(Text(table.name, style="bold"))
    parts = _parts(table, console.width)
    rows, notes = len(table.rows), table.notes
    left_out = []
    if sum(rows + 4 for _ in parts) + len(notes) > MOST_LINES:
        brief = table.without_details()
        parts = _parts(brief, console.width)
        rows, notes = min(rows, MOST_ROWS), notes[:MOST_NOTES]
        counts = {
            "row": len(table.rows) - rows,
            "column": len(table.columns) - len(brief.columns),
            "note": len(table.notes) - len(notes),
        }
        left_out = [numbered(count, noun) for noun, count in counts.items() if count]
    for part in parts:
        console.print(_part(rows, part), "")
    if table.caption:
        console.print(Text(table.caption, style="dim"))
    for note in notes:
        console.print(Text(note, style="yellow"))
    if left_out:
        console.print(Text(f"Not shown here: {', '.join(left_out)}; {whole} hold the whole table.", style="bold"))


@dataclass(frozen=True)
class LaidOut:
    """A column with its cells as they are shown, and the width of the widest cell or word of its heading."""

    block: str
    label: str
    cells: list[Text]
    width: int


def _laid_out(table: Table, index: int, most: int) -> LaidOut:
    """Lay out a column of at most so many letters' width; longer cells are wrapped."""
    column, best = table.columns[index], table.best(index)
    cells = [_cell(column, row[index], number in best) for number, row in enumerate(table.rows)]
    words = [word for part in (column.block, column.label) for word in part.split()]
    width = max(map(len, [*words, *(cell.plain for cell in cells)]), default=0)
    return LaidOut(column.block, column.label, cells, min(width, most))


def _parts(table: Table, width: int) -> list[list[LaidOut]]:
    """The columns of each part, of which the first names the rows."""
    first = _laid_out(table, 0, width)
    room = width - first.width - 2 * PADDING
    columns = [first, *(_laid_out(table, index, max(1, room - PADDING)) for index in range(1, len(table.columns)))]
    return [[first, *(columns[index] for index in indices)] for indices in _divided(table, columns, room)]


def _divided(table: Table, columns: list[LaidOut], room: int) -> Iterator[list[int]]:
    """The places of the columns beside the first in each part: whole blocks while they fit, else what fits of one."""

    def taken(indices: list[int]) -> int:
        return sum(columns[index].width + PADDING for index in indices)

    part: list[int] = []
    for block in table.blocks()[1:]:
        if part and taken(part + block) > room:
            yield part
            part = []
        for index in block:
            if part and taken([*part, index]) > room:
                yield part
                part = []
            part.append(index)
    yield part


def _part(rows: int, columns: list[LaidOut]) -> rich.table.Table:
    part = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, (column, heading) in enumerate(zip(columns, _headings(columns), strict=True)):
        part.add_column(heading, justify="right" if index else "left", width=column.width)
    for row in range(rows):
        part.add_row(*(column.cells[row] for column in columns))
    return part


def _headings(columns: list[LaidOut]) -> list[str]:
    """The name of a block above its first column, the labels below, all of one height."""
    labels = [textwrap.wrap(column.label, column.width) for column in columns]
    firsts = ["", *(after.block if after.block != before.block else "" for before, after in pairwise(columns))]
    blocks = [textwrap.wrap(block, column.width) for block, column in zip(firsts, columns, strict=True)]
    height = max(map(len, labels)) + max(map(len, blocks))
    return [
        "\n".join([*block, *[""] * (height - len(block) - len(label)), *label])
        for block, label in zip(blocks, labels, strict=True)
    ]


def _cell(column: Column, cell: Cell, best: bool) -> Text:
    spread = column.spread(cell)
    style = "bold green" if best else "yellow" if cell.word and column.metric else ""
    return Text.assemble((column.number(cell), style), (f"±{spread}" if spread else "", "dim"))
