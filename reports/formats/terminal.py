"""A table on a terminal of any width: blocks of columns that do not fit go below, the methods repeated."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from itertools import pairwise

import rich.box
import rich.table
from rich.console import Console
from rich.text import Text

from reports.tables.table import Table

__all__ = ["show"]

PADDING = 3  # rich leaves one space on either side of a column and draws a blank rule between two


def show(table: Table, console: Console) -> None:
    """Title, the parts of the table, caption and notes."""
    console.print(Text(table.name, style="bold"))
    for places in _parts(table, console.width):
        console.print(_part(table, places), "")
    console.print(Text(table.caption, style="dim"))
    for note in table.notes:
        console.print(Text(note, style="yellow"))


def _parts(table: Table, width: int) -> Iterator[list[int]]:
    """The places of the columns beside the first in each part: whole blocks while they fit, else what fits of one."""
    room = width - _width(table, 0) - PADDING
    part: list[int] = []
    for block in table.blocks()[1:]:
        if part and sum(_width(table, place) for place in part + block) > room:
            yield part
            part = []
        for place in block:
            if part and sum(_width(table, other) for other in [*part, place]) > room:
                yield part
                part = []
            part.append(place)
    yield part


def _part(table: Table, places: list[int]) -> rich.table.Table:
    part = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    headings = _headings(table, [0, *places])
    for place, heading in zip([0, *places], headings, strict=True):
        part.add_column(heading, justify="right" if place else "left", width=_width(table, place) - PADDING)
    for row in range(len(table.rows)):
        part.add_row(*(_cell(table, row, place) for place in [0, *places]))
    return part


def _headings(table: Table, places: list[int]) -> list[str]:
    """The name of a block above its first column, the labels below, all of one height."""
    columns = [table.columns[place] for place in places]
    labels = [
        textwrap.wrap(column.label, _width(table, place) - PADDING)
        for column, place in zip(columns, places, strict=True)
    ]
    firsts = ["", *(a.block if a.block != b.block else "" for b, a in pairwise(columns))]
    blocks = [textwrap.wrap(block, _width(table, place) - PADDING) for block, place in zip(firsts, places, strict=True)]
    height = max(map(len, labels)) + max(map(len, blocks))
    return [
        "\n".join([*block, *[""] * (height - len(block) - len(label)), *label])
        for block, label in zip(blocks, labels, strict=True)
    ]


def _cell(table: Table, row: int, place: int) -> Text:
    column, cell = table.columns[place], table.rows[row][place]
    spread = column.spread(cell)
    style = "bold green" if row in table.best(place) else "yellow" if cell.word and column.metric else ""
    return Text.assemble((column.number(cell), style), (f"±{spread}" if spread else "", "dim"))


def _width(table: Table, place: int) -> int:
    """Of the widest cell or word of the heading."""
    column = table.columns[place]
    words = [word for part in (column.block, column.label) for word in part.split()]
    cells = [_cell(table, row, place).plain for row in range(len(table.rows))]
    return max(map(len, [*words, *cells])) + PADDING
