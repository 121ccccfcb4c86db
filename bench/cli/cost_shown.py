"""How the answer of `bench.py cost` is shown: one JSON document, or tables of what was asked for beside the costs."""

from __future__ import annotations

import dataclasses
import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.cost import Answer
from bench.cost.explain import show_blocks
from bench.cost.margin import FIXED, SHARE

__all__ = ["document", "show"]


def document(answer: Answer) -> str:
    """JSON: a list with a flat object for each case."""
    pairs = zip(answer.records, answer.beside, strict=True)
    rows = [record.row() | beside | {"where": dataclasses.asdict(record.where)} for record, beside in pairs]
    return json.dumps(rows, indent=1, allow_nan=False)


def show(answer: Answer, console: Console) -> None:
    """What was asked for beside the costs, as tables."""
    if any("largest_batch_size" in row for row in answer.beside):
        console.print(_fitting(answer))
    for record, row in zip(answer.records, answer.beside, strict=True):
        if "largest" in row:
            console.print(show_blocks(record.conditions.method, row["largest"]), "")


def _fitting(answer: Answer) -> Table:
    budget = answer.beside[0]["budget_bytes"] / 2**30
    margin = f"{100 * SHARE:.0f} % + {FIXED / 2**20:.0f} MiB"
    table = Table("method", title=f"largest batch on {budget:g} GiB, with a margin of {margin}", title_justify="left")
    for heading in ("batch", "planned peak, GiB", "planned reserved, GiB", "with margin, GiB"):
        table.add_column(heading, justify="right")
    for record, row in zip(answer.records, answer.beside, strict=True):
        figures = record.figures
        sizes = [figures.planned_peak_bytes, figures.planned_reserved_bytes, figures.needed_bytes]
        cells = [f"{size / 2**30:.2f}" if size else "" for size in sizes]
        batch = record.status if record.status == "unsupported" else str(row["largest_batch_size"])
        table.add_row(escape(record.conditions.method), batch, *cells)
    return table
