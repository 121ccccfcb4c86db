"""What a method's peak is made of, tensor by tensor, so that its author sees what to remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from bench.case import Case
from bench.plan import plan

__all__ = ["largest_blocks", "show_blocks"]

SHOWN = 20


def largest_blocks(case: Case) -> list[dict[str, Any]]:
    """The largest tensors that are alive at the planned peak of a training step. Raises Unsupported."""
    peak = plan(case.training(), case.image_size, case.recipe, case.rules, explain=True)
    return [
        {
            "bytes": block.size,
            "kind": block.kind,
            "module": block.module,
            "operator": block.operator,
            "shape": list(block.shape),
            "dtype": block.number_format,
        }
        for block in peak.largest(SHOWN)
    ]


def show_blocks(method: str, blocks: Sequence[dict[str, Any]]) -> Table:
    """The same as a table."""
    table = Table(
        title=f"{escape(method)}: the {len(blocks)} largest tensors at the peak", title_justify="left", box=None
    )
    for heading in ("MiB", "kind", "made by", "operator", "shape", "dtype"):
        table.add_column(heading, justify="right" if heading == "MiB" else "left", overflow="fold")
    for block in blocks:
        shape = " x ".join(map(str, block["shape"]))
        words = (block["kind"], block["module"], block["operator"], shape, block["dtype"])
        table.add_row(f"{block['bytes'] / 2**20:.1f}", *map(escape, words))
    return table
