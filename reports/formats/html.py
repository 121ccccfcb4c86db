"""One page with every table and figure, what was run and how: a single file that opens without a network."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from reports.discovery import REPORTS
from reports.formats import frames
from reports.tables.comparison import values
from reports.tables.provenance import made
from reports.tables.table import Cell, Column, Figure, Table
from results import numbered, write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAME", "table", "write"]

NAME = "index.html"
FOLDER = Path(__file__).parent
INCH = 130  # pixels of the page in an inch of a figure, whose type is small
FIRST = ("accuracy", "vtab", "fgvc", "few_shot", "domain", "tradeoff", "leaderboard")  # what most readers come for
SPELLED = {"dtl": "DTL", "lora": "LoRA", "vtab": "VTAB", "fgvc": "FGVC", "synqt": "SynQT", "tsne": "t-SNE"}

Sections = Mapping[str, Sequence[Table | Figure]]  # by report


def write(sections: Sections, runs: pd.DataFrame | None, costs: pd.DataFrame | None, out: Path) -> Path:
    """Write the page of what was written to the folder `out` just before; the same bytes for the same content."""
    shown = {name: sections[name] for name in sorted(sections, key=_place) if sections[name]}
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"prose": prose, "title": title, "table": table, "base64": _base64}
    page = environment.get_template("page.html").render(
        about=_about(runs, costs),
        reports=REPORTS,
        first={name: items for name, items in shown.items() if name in FIRST},
        others={name: items for name, items in shown.items() if name not in FIRST},
        made=made(runs, costs),
        out=out,
        csv=frames.csv,
        inch=INCH,
    )
    write_whole(out / NAME, page.encode())
    return out / NAME


def table(item: Table) -> Markup:
    """Write the table as HTML, with blocks of columns above their labels, each label a button that sorts."""
    return Markup(frames.shown(item, _cell, _heading).style.to_html(exclude_styles=True))


def prose(text: str) -> Markup:
    """Write text as HTML, with words between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))


def title(name: str) -> str:
    """Turn the name of a report into a heading: `lora_position` becomes LoRA position."""
    first, *others = name.split("_")
    return " ".join([SPELLED.get(first, first.capitalize()), *(SPELLED.get(word, word) for word in others)])


def _place(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST)), name


def _heading(column: Column) -> tuple[str, str]:
    kind = "number" if column.metric else "word"
    better = f' data-better="{column.metric.better}"' if column.metric and column.metric.better else ""
    label = f'<button type="button" data-kind="{kind}"{better}>{escape(column.label)}</button>'
    return escape(column.block), label


def _cell(column: Column, cell: Cell, best: bool) -> str:
    """The best of a column in bold, a word in place of a number in italics, a deviation in small type."""
    number, spread = escape(column.number(cell)), column.spread(cell)
    if cell.word and column.metric is not None:
        return f"<i>{number}</i>"
    return (f"<b>{number}</b>" if best else number) + (f"<small>±{spread}</small>" if spread else "")


def _base64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def _about(runs: pd.DataFrame | None, costs: pd.DataFrame | None) -> str:
    """How many records there are and of when the newest is."""
    known = {"run": runs, "cost record": costs}
    counts = [numbered(len(records), name) for name, records in known.items() if records is not None]
    days = sorted(day for records in known.values() if records is not None for day in values(records, "where_date"))
    newest = f", the newest of {days[-1][:10]}" if days else ""
    return f"From {' and '.join(counts)}{newest}. Click a heading to sort by it."
