"""Inference beside SynQT's appendix Table 1: speed, memory and multiply-adds of each method at its best tokens."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.tables.costs import PrintedCost, printed_costs, provenance
from reports.tables.table import GIBIBYTES, PERCENT, Cell, Column, Metric, Table

__all__ = ["report"]

BILLION = 1e-9
QUANTITIES = {  # of the publication: our field, its scale to the printed unit, and how it is shown
    "inference_speed": ("inference_images_per_second", 1.0, Metric("images/s", "images/s", 1.0, 1, "higher")),
    "inference_memory": ("inference_peak_bytes", GIBIBYTES, Metric("memory (GiB)", "GiB", 1.0, 2, "lower")),
    "inference_macs": ("macs_modules", BILLION, Metric("layers only (G)", "G", 1.0, 2, "lower")),
}
SHARE = Metric("%", "%", PERCENT, 1)
CAPTION = (
    "Inference after folding, ViT-B/16, beside SynQT's appendix Table 1 (CIFAR-100, one V100; its batch, precision and "
    "way of reading memory are not stated, so its memory and speed cannot be met, only ordered). Ours: 100 classes, "
    "batch 64, fp32, fused attention, planned peak of allocated memory. Multiply-adds of linear and convolution layers "
    "for one image, the convention of the print; with attention products in the last column. {}."
)


def report(costs: pd.DataFrame) -> list[Table]:
    """One table, of the methods that have a record."""
    lines: dict[str, dict[str, PrintedCost]] = {}
    for line in printed_costs("synqt", costs):
        lines.setdefault(line.label, {})[line.quantity] = line
    known = {label: parts for label, parts in lines.items() if _ours(parts, "inference_macs") is not None}
    if not known:
        return []
    rows = tuple(_row(label, parts) for label, parts in known.items())
    absent = [label for label in lines if label not in known]
    notes = [f"No figure of ours yet: {', '.join(absent)}."] if absent else []
    caption = CAPTION.format(provenance(costs[costs["protocol"] == "synqt"]))
    return [Table("inference_cost", caption, tuple(_columns()), rows, (*notes, *_measured_note(known)))]


def _columns() -> Sequence[Column]:
    """For each quantity printed, ours and the difference."""
    columns = [Column("method", "method")]
    for quantity, (_, _, metric) in QUANTITIES.items():
        for suffix, label in (("printed", "printed"), ("ours", "ours")):
            columns.append(Column(f"{quantity}_{suffix}", label, metric.label, metric))
        columns.append(Column(f"{quantity}_difference", "%", metric.label, SHARE))
    return [*columns, Column("macs", "ours", "with attention (G)", Metric("G", "G", 1.0, 2, "lower"))]


def _row(label: str, parts: dict[str, PrintedCost]) -> tuple[Cell, ...]:
    cells = [Cell(word=label)]
    for quantity in QUANTITIES:
        ours, given = _ours(parts, quantity), parts[quantity].value
        cells += [Cell(given), Cell(ours), Cell(None if ours is None else ours / given - 1)]
    macs = parts["inference_macs"].ours("macs")
    return (*cells, Cell(None if macs is None else macs * BILLION))


def _ours(parts: dict[str, PrintedCost], quantity: str) -> float | None:
    field, scale, _ = QUANTITIES[quantity]
    value = parts[quantity].ours(field)
    return None if value is None else value * scale


def _measured_note(known: dict[str, dict[str, PrintedCost]]) -> Sequence[str]:
    if any(_ours(parts, "inference_speed") is not None for parts in known.values()):
        return []
    return ["Our speed is measured where there is a CUDA device; this table was made without one."]
