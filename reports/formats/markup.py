"""Tables and figures as parts of a page: HTML in which nothing is fetched, with the raw numbers to sort by."""

from __future__ import annotations

import base64
import re
from html import escape

from reports.formats import csv as comma_separated
from reports.tables.table import Column, Figure, Table

__all__ = ["figure", "table"]

INCH = 130  # pixels of the page in an inch of a figure, whose type is small


def figure(item: Figure, png: bytes) -> str:
    """The picture with its caption."""
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    width, height = (round(INCH * inches) for inches in item.drawing.get_size_inches())
    about = f'alt="{escape(item.name)}" width="{width}" height="{height}"'
    image = f'<img src="{source}" {about}>'
    return _framed(item, image, "")


def table(item: Table) -> str:
    """The table with its caption, notes and the same as a CSV to download."""
    content = base64.b64encode(comma_separated.text(item).encode()).decode()
    link = f'<a class="download" download="{escape(item.name)}.csv" href="data:text/csv;base64,{content}">CSV</a>'
    rows = "\n".join(_row(item, row) for row in range(len(item.rows)))
    body = f'<div class="scroll"><table><thead>{_heading(item)}</thead>\n<tbody>\n{rows}\n</tbody></table></div>'
    return _framed(item, body, link)


def _framed(item: Table | Figure, body: str, link: str) -> str:
    notes = "".join(f"<li>{_prose(note)}</li>" for note in (item.notes if isinstance(item, Table) else ()))
    listed = f'<ul class="notes">{notes}</ul>' if notes else ""
    title = f"<h3>{link}{escape(item.name)}</h3>"
    return f"<figure>\n{title}\n{body}\n<figcaption>{_prose(item.caption)}</figcaption>{listed}\n</figure>"


def _prose(text: str) -> str:
    """Words between backticks are code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _heading(item: Table) -> str:
    """Where columns share a block, a row that names the blocks; then the labels, each a button that sorts."""
    parts = [(item.columns[places[0]], len(places)) for places in item.blocks()]
    blocks = "".join(
        f'<th colspan="{count}" scope="colgroup"{_first(item, column)}>{escape(column.block)}</th>'
        for column, count in parts
    )
    above = f'<tr class="blocks">{blocks}</tr>' if any(column.block for column in item.columns) else ""
    labels = "".join(_label(column, _first(item, column)) for column in item.columns)
    return f"{above}<tr>{labels}</tr>"


def _label(column: Column, first: str) -> str:
    better = f' data-better="{column.metric.better}"' if column.metric and column.metric.better else ""
    kind = "number" if column.metric else "word"
    button = f'<button type="button">{escape(column.label)}</button>'
    return f'<th scope="col" aria-sort="none" data-kind="{kind}"{better}{first}>{button}</th>'


def _first(item: Table, column: Column) -> str:
    """The mark of a column with which a block begins, or which stands after one."""
    place = item.columns.index(column)
    begins = place and column.block != item.columns[place - 1].block
    return ' class="first"' if begins else ""


def _row(item: Table, row: int) -> str:
    return f"<tr>{''.join(_cell(item, row, place) for place in range(len(item.columns)))}</tr>"


def _cell(item: Table, row: int, place: int) -> str:
    column, cell = item.columns[place], item.rows[row][place]
    text = escape(column.number(cell))
    if not place:
        value = f' data-value="{cell.value!r}"' if cell.value is not None and not cell.word else ""
        return f'<th scope="row"{value}>{text}</th>'
    if cell.word or cell.value is None:
        return f'<td class="word">{text}</td>'
    spread = column.spread(cell)
    best = ' class="best"' if row in item.best(place) else ""
    return f'<td{best} data-value="{cell.value!r}">{text}{f"<small>±{spread}</small>" if spread else ""}</td>'
