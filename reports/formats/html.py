"""One page with every table and figure, what was run and how: a single file that opens without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from reports.discovery import REPORTS
from reports.formats import markup
from reports.tables.comparison import values
from reports.tables.provenance import Made, made
from reports.tables.table import Figure, Table
from results import write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAME", "write"]

NAME = "index.html"
FOLDER = Path(__file__).parent
FIRST = ("accuracy", "vtab", "fgvc", "few_shot", "domain", "tradeoff", "leaderboard")  # what most readers come for
SPELLED = {"dtl": "DTL", "lora": "LoRA", "vtab": "VTAB", "fgvc": "FGVC", "synqt": "SynQT", "tsne": "t-SNE"}

Sections = Mapping[str, Sequence[Table | Figure]]  # by report


def write(sections: Sections, runs: pd.DataFrame | None, costs: pd.DataFrame | None, out: Path) -> Path:
    """The page of what was written to the folder `out` just before; the same bytes for the same content."""
    shown = {name: sections[name] for name in sorted(sections, key=_place) if sections[name]}
    parts = {name: _section(name, items, out) for name, items in shown.items()}
    before = {name: part for name, part in parts.items() if name in FIRST}
    parts = before | {"run": _run(made(runs, costs))} | parts
    words = {
        "title": "petl-bench: memory and accuracy",
        "about": escape(_about(runs, costs)),
        "style": (FOLDER / "page.css").read_text(encoding="utf-8"),
        "script": (FOLDER / "page.js").read_text(encoding="utf-8"),
        "contents": "\n".join(f'<a href="#{name}">{_title(name)}</a>' for name in parts),
        "main": "\n".join(parts.values()),
    }
    page = Template((FOLDER / "page.html").read_text(encoding="utf-8")).substitute(words)
    write_whole(out / NAME, page.encode())
    return out / NAME


def _place(name: str) -> tuple[int, str]:
    return (FIRST.index(name) if name in FIRST else len(FIRST)), name


def _section(name: str, items: Sequence[Table | Figure], out: Path) -> str:
    bodies = [
        markup.table(item) if isinstance(item, Table) else markup.figure(item, (out / f"{item.name}.png").read_bytes())
        for item in items
    ]
    return _headed(name, escape(REPORTS[name]), bodies)


def _run(parts: Sequence[Made]) -> str:
    """What was run, with the commands."""
    bodies = [
        f"<article><h3>{escape(part.title)}</h3>{''.join(f'<p>{escape(text)}</p>' for text in part.sentences)}"
        f"{''.join(f'<p><code>{escape(command)}</code></p>' for command in part.commands)}</article>"
        for part in parts
    ]
    return _headed("run", "Which runs these are, on which machine, and the commands that made them.", bodies)


def _headed(name: str, about: str, bodies: Sequence[str]) -> str:
    inner = "\n".join(bodies)
    return f'<section id="{name}">\n<h2>{_title(name)}</h2>\n<p>{about}</p>\n{inner}\n</section>'


def _title(name: str) -> str:
    if name == "run":
        return "What was run"
    first, *others = name.split("_")
    return " ".join([SPELLED.get(first, first.capitalize()), *(SPELLED.get(word, word) for word in others)])


def _about(runs: pd.DataFrame | None, costs: pd.DataFrame | None) -> str:
    """How many records there are and of when the newest is."""
    known = {"runs": runs, "cost records": costs}
    counts = [f"{len(records):,} {name}" for name, records in known.items() if records is not None]
    days = sorted(day for records in known.values() if records is not None for day in values(records, "where_date"))
    newest = f", the newest of {days[-1][:10]}" if days else ""
    return f"From {' and '.join(counts)}{newest}. Click a heading to sort by it."
