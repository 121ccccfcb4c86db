"""What each method costs: parameters, peak memory and its parts, multiply-adds, training work, speed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from reports.tables.comparison import with_options
from reports.tables.costs import Alike, alike, number
from reports.tables.table import Cell, Column, Table, in_order

__all__ = ["report"]

SHOWN = (
    "planned_peak_bytes", "planned_allocated_bytes", "peak_bytes", "difference",
    "planned_reserved_bytes", "reserved_bytes", "inference_peak_bytes", "measured_inference_peak_bytes",
    "trainable", "trainable_without_head",
    "planned_weights_bytes", "planned_batch_bytes", "planned_features_bytes", "planned_activations_bytes",
    "planned_gradients_bytes", "planned_optimizer_bytes",
    "macs", "macs_modules", "train_flops_frozen", "train_flops_trained",
    "train_images_per_second", "inference_images_per_second", "utilisation", "checkpoint_bytes",
)  # fmt: skip
MAIN = {"planned_peak_bytes", "peak_bytes", "planned_reserved_bytes", "trainable_without_head", "macs",
        "train_images_per_second", "inference_images_per_second"}  # fmt: skip
LEGEND = (
    "Peak memory is that of a training step from the second on; planned is what tensors take, allocated what the CUDA "
    "allocator counts with kernels' workspaces, reserved what it takes from the card; a multiply-add counts as two "
    "FLOP; speeds are those of the median step, inference after folding; a checkpoint is what is kept for one task."
)


def report(costs: pd.DataFrame) -> list[Table]:
    """A table for each set of conditions; options that cut memory stand behind the method."""
    shown = costs.assign(method=with_options(costs), optimizer=costs["optimizer"].replace("adamw8bit", "adamw"))
    return [_table(group) for group in alike(shown, "activations", "optimizer_in_backward")]


def _table(group: Alike) -> Table:
    rows = group.rows.assign(difference=group.rows["peak_bytes"].astype(float) / group.rows["planned_peak_bytes"] - 1)
    lines = {line["method"]: line for line in rows.to_dict("records")}
    shown = [name for name in SHOWN if name in rows and rows[name].notna().any()] or ["planned_peak_bytes"]
    columns = [Column("method", "method"), *(Column.of(name, detail=name not in MAIN) for name in shown)]
    cells = [
        (Cell(word=method), *(_cell(lines[method], name) for name in shown)) for method in in_order(map(str, lines))
    ]
    return Table(f"cost-{group.name}", f"{group.conditions} {LEGEND}", tuple(columns), tuple(cells), _notes(rows))


def _cell(line: Mapping[Any, Any], name: str) -> Cell:
    """The number; in the first column the status where there is none."""
    if line["status"] != "ok" and name == SHOWN[0]:
        return Cell(word=str(line["status"]))
    return Cell(number(line.get(name)))


def _notes(rows: pd.DataFrame) -> tuple[str, ...]:
    reasons = [f"{row.method}: {row.status} ({row.reason})." for row in rows.itertuples() if row.status != "ok"]
    unstable = [str(row.method) for row in rows.itertuples() if row.unstable is True]
    if unstable:
        reasons.append(f"unstable, 10 to 90 % range of the steps above 5 % of the median: {', '.join(unstable)}.")
    return tuple(reasons)
