"""What a method's peak is made of, tensor by tensor, so that its author sees what to remove."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from bench.cost.case import Case
from bench.cost.live_memory import Block
from bench.cost.plan import plan

__all__ = ["largest_blocks", "show_blocks"]

SHOWN = 20


def largest_blocks(case: Case) -> list[dict[str, Any]]:
    """What is alive at the planned peak of a training step: tensors from the largest, weights in one line at the end.

    A method can remove what it makes; the weights are there whatever it does. Raises Unsupported.
    """
    peak = plan(case.training(), case.image_size, case.recipe, case.rules, explain=True)
    made = sorted((block for block in peak.blocks if block.kind != "weights"), key=_order)
    weights = [block for block in peak.blocks if block.kind == "weights"]
    rows = [
        {
            "bytes": block.size,
            "kind": block.kind,
            "module": block.module,
            "operator": block.operator,
            "shape": list(block.shape),
            "dtype": block.number_format,
        }
        for block in made[: SHOWN - 1]
    ]
    whole = {"bytes": sum(block.size for block in weights), "kind": "weights", "module": f"{len(weights)} tensors"}
    return [*rows, whole | {"operator": "", "shape": [], "dtype": ""}]


def _order(block: Block) -> tuple[bool, int]:
    """Activations first, each kind from the largest."""
    return block.kind != "activations", -block.size


def show_blocks(method: str, blocks: Sequence[dict[str, Any]]) -> Table:
    """The same as a table."""
    table = Table(
        title=f"{escape(method)}: the largest tensors at the peak, and the weights", title_justify="left", box=None
    )
    for heading in ("MiB", "kind", "made by", "operator", "shape", "dtype"):
        table.add_column(heading, justify="right" if heading == "MiB" else "left", overflow="fold")
    for block in blocks:
        shape = " x ".join(map(str, block["shape"]))
        words = (block["kind"], block["module"], block["operator"], shape, block["dtype"])
        table.add_row(f"{block['bytes'] / 2**20:.1f}", *map(escape, words))
    return table
