"""One page with what the runs mean, every table and figure, and what was run: a file that opens without a network."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from reports.conclusions import conclusions
from reports.discovery import REPORTS, why_nothing
from reports.formats import frames, latex
from reports.tables.captions import conditions, origins
from reports.tables.comparison import Comparison, comparisons, values
from reports.tables.summary import on_common_tasks
from reports.tables.table import Cell, Column, Figure, Table
from results import numbered, write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAME", "heading", "table", "write"]

NAME = "index.html"
FOLDER = Path(__file__).parent
INCH = 130  # pixels of the page in an inch of a figure, whose type is small
FIRST = ("accuracy", "vtab", "fgvc", "few_shot", "domain", "tradeoff", "leaderboard")  # what most readers come for
TITLES = {  # of reports whose name says too little
    "ablation_synqt": "Ablation of SynQT",
    "calibration": "How sure methods are, and how right",
    "confusion": "Which classes are taken for which",
    "cost": "Cost of a training step",
    "convergence": "Training",
    "domain": "Domain generalisation",
    "dtl_start": "Where DTL begins to write back",
    "energy": "Energy of training",
    "fgvc": "FGVC",
    "gpu": "On the graphics card",
    "leaderboard": "Best methods within a memory budget",
    "lora_position": "The one block that LoRA tunes",
    "memory_ladder": "What the peak of memory is made of",
    "memory_published": "Memory beside published numbers",
    "per_class": "Accuracy by class",
    "ranks": "Ranks over tasks",
    "speed": "Speed with kept features",
    "tradeoff": "Accuracy against memory and parameters",
    "tradeoff_published": "Accuracy against memory, beside published numbers",
    "tsne": "t-SNE of features",
    "tuning": "Searches of hyper-parameters",
    "vtab": "VTAB-1k",
}
SUITES = {
    "demo": "the embedded suite",
    "domain": "domain generalisation",
    "few_shot": "few images a class",
    "fgvc": "FGVC",
    "vtab": "VTAB-1k",
}
ENDINGS = {"published": "beside published numbers", "table": "in numbers"}

Sections = Mapping[str, Sequence[Table | Figure]]  # by report


def write(sections: Sections, runs: pd.DataFrame | None, costs: pd.DataFrame | None, out: Path) -> Path:
    """Write the page of some reports to the folder `out`; the same bytes for the same content."""
    from reports.figures.style import FAMILIES  # here, so that tables are shown without matplotlib

    empty = [name for name, items in sections.items() if not items and name in FIRST and why_nothing(name)]
    shown = [name for name in sorted(sections, key=_rank) if sections[name] or name in empty]
    found = comparisons(runs) if runs is not None else []
    names = _names(found)
    shared = [conditions(comparison) for comparison in found]
    known = [*shared, *(conditions(on_common_tasks(comparison)[0]) for comparison in found)]
    environment = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False}  # and not sorted
    environment.filters |= {
        "prose": prose,
        "title": title,
        "heading": lambda item: heading(item.name, names),
        "own": lambda caption: _own(caption, known),
        "table": table,
        "image": _image,
        "plot": _plot,
        "base64": _base64,
    }
    page = environment.get_template("page.html").render(
        about=_about(runs, costs),
        meaning=[_said(sentence, names) for sentence in conclusions(runs)] if runs is not None else [],
        shared=shared,
        reports=REPORTS,
        first={name: sections[name] for name in shown if name in FIRST},
        others={name: sections[name] for name in shown if name not in FIRST},
        why=why_nothing,
        origins=origins(runs, costs),
        families={method: family for family, (_, methods) in FAMILIES.items() for method in methods},
        csv=frames.csv,
        latex=latex.table,
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
    """Turn the name of a report into a heading: `few_shot` becomes Few shot."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


def heading(name: str, comparisons: Mapping[str, str]) -> str:
    """Turn the name of a table or figure into a heading: `accuracy-demo-demo-demo` becomes Accuracy on ….

    Args:
        name: That of its files: the report, the comparison, and what tells it from others of the report.
        comparisons: What each comparison is of, in words, by its name.
    """
    for known in sorted(comparisons, key=len, reverse=True):
        report, found, rest = name.partition(known)
        if found:
            first = title(report.rstrip("-")) if report else "Accuracy"
            last = rest.strip("-")
            return f"{first} on {comparisons[known]}" + (f", {ENDINGS.get(last, last)}" if last else "")
    report = max((report for report in REPORTS if name.startswith(report)), key=len, default="")
    rest = name.removeprefix(report).replace("-", " ").strip()
    return f"{title(report)}: {rest}" if report and rest else title(report or name)


def _names(found: Sequence[Comparison]) -> dict[str, str]:
    """Each comparison in words: its suite, and of backbone, recipe and copy what is not the same in all."""
    several = {field: len({getattr(each, field) for each in found}) > 1 for field in ("network", "recipe", "copy")}
    return {
        each.name: ", ".join(
            [
                SUITES.get(each.suite, each.suite.replace("folder:", "your images, ")),
                *([f"backbone {each.network}"] if several["network"] else []),
                *([f"recipe {each.recipe}"] if several["recipe"] else []),
                *([each.copy] if several["copy"] and each.copy else []),
            ]
        )
        for each in found
    }


def _said(sentence: str, names: Mapping[str, str]) -> str:
    """The sentence with a comparison in words where it begins with the name of its files."""
    first, found, rest = sentence.partition(": ")
    return f"On {names[first]}: {rest}" if found and first in names else sentence


def _own(caption: str, known: Sequence[str]) -> str:
    """The caption without the conditions that stand once on the page."""
    return next((caption.removeprefix(said).strip() for said in known if caption.startswith(said)), caption)


def _rank(name: str) -> tuple[int, str]:
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


def _image(item: Figure) -> str:
    from reports.figures.svg import whole

    return _base64(whole(item.drawing))


def _plot(item: Figure) -> dict[str, Any]:
    """A trade-off for the script of the page: its panels, its families with their colours, and all of each point."""
    from reports.figures.style import FAMILIES, look
    from reports.figures.svg import panels

    assert item.numbers is not None
    columns = item.numbers.columns
    points = []
    for row in item.numbers.rows:
        cells = dict(zip(columns, row, strict=True))
        numbers = [(_words(column), _number(column, cell)) for column, cell in cells.items()]
        points.append({
            "name": row[0].word,
            "family": look(row[0].word).family,
            "memory": next((cell.value for column, cell in cells.items() if column.key == item.memory), None),
            "numbers": [pair for pair in numbers[1:] if pair[1]],
        })  # fmt: skip
    colors = {look(row[0].word).family: look(row[0].word).color for row in item.numbers.rows}
    return {
        "points": points,
        "families": {family: colors[family] for family in [*FAMILIES, *colors] if family in colors},
        "panels": map(Markup, panels(item.drawing, re.sub(r"\W", "-", item.name))),
    }


def _words(column: Column) -> str:
    return f"{column.block}: {column.label}" if column.block else column.label


def _number(column: Column, cell: Cell) -> str:
    spread = column.spread(cell)
    return column.number(cell) + (f" ± {spread}" if spread else "")


def _base64(content: str | bytes) -> str:
    return base64.b64encode(content.encode() if isinstance(content, str) else content).decode()


def _about(runs: pd.DataFrame | None, costs: pd.DataFrame | None) -> str:
    """How many records there are and of when the newest is."""
    known = {"run": runs, "cost record": costs}
    counts = [numbered(len(records), name) for name, records in known.items() if records is not None]
    days = sorted(day for records in known.values() if records is not None for day in values(records, "where_date"))
    newest = f", the newest of {days[-1][:10]}" if days else ""
    return f"From {' and '.join(counts)}{newest}."
