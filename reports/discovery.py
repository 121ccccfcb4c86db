"""Finds the reports by looking at the folder: every file with a function `report` is one, under its own name.

The names of its arguments say what it reads: `runs`, the records of training, `trials`, those of `bench.py tune`,
`costs`, those of `bench.py cost`, or any other name: the numbers in `results/measured/<name>.csv`. Of several, some may
be None. A constant `NOTHING` of the file says why there is nothing to show; a function `published` gives the papers'
tables alone, which need no run.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.tables.table import Figure, Table

if TYPE_CHECKING:
    Report = Callable[..., Sequence[Table | Figure]]

__all__ = [
    "COST_REPORTS",
    "MEASURED_REPORTS",
    "PUBLISHED",
    "READS",
    "REPORTS",
    "find",
    "pick",
    "published",
    "why_nothing",
]

RECORDS = {"runs", "trials", "costs"}  # what else a report reads was measured by a tool


VIEWS = Path(__file__).parent / "views"


def _summary(path: Path) -> str | None:
    """The first line of the docstring of a report, without importing it; None for another file."""
    text = path.read_text(encoding="utf-8")
    if "\ndef report(" not in text:
        return None
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def _arguments(name: str) -> tuple[str, ...]:
    tree = ast.parse((VIEWS / f"{name}.py").read_text(encoding="utf-8"))
    (report,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "report")
    return tuple(argument.arg for argument in report.args.args)


FOUND = {path.stem: _summary(path) for path in sorted(VIEWS.glob("*.py"))}
REPORTS = {name: summary for name, summary in FOUND.items() if summary is not None}  # name -> what it shows
READS = {name: _arguments(name) for name in REPORTS}  # name -> what it takes, in its order
COST_REPORTS = [name for name, kinds in READS.items() if "costs" in kinds]
MEASURED_REPORTS = [name for name, kinds in READS.items() if not RECORDS & set(kinds)]
PUBLISHED = [name for name in REPORTS if "\ndef published(" in (VIEWS / f"{name}.py").read_text(encoding="utf-8")]


def pick(names: Sequence[str] | None) -> list[str]:
    """Return the names in order, all reports for None; raise ValueError with one sentence on an unknown one."""
    for name in names or ():
        if name not in REPORTS:
            raise ValueError(f"no report {name!r}; known: {', '.join(REPORTS)}")
    return list(dict.fromkeys(names)) if names else list(REPORTS)


def find(name: str) -> Report:
    """Import one report, and pandas or matplotlib with it, and return its function."""
    report: Report = importlib.import_module(f"reports.views.{name}").report
    return report


def published(name: str) -> Sequence[Table]:
    """Return the papers' tables of one report among PUBLISHED."""
    tables: Sequence[Table] = importlib.import_module(f"reports.views.{name}").published()
    return tables


def why_nothing(name: str) -> str | None:
    """Return the sentence that says why a report has nothing to show, if it has one."""
    sentence: str | None = getattr(importlib.import_module(f"reports.views.{name}"), "NOTHING", None)
    return sentence
