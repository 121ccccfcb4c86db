"""What the feature cache saves: training time of each method without it over that with it, measured by `make speed`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from reports.figures.style import draw_bars, logarithmic, panel
from reports.tables.comparison import values
from reports.tables.table import MEBIBYTES, Cell, Column, Figure, Metric, Table
from results import slug

__all__ = ["beside_each_other", "report"]

TIMES = Metric("times as fast", "", 1.0, 1, "higher")
SECONDS = Metric("seconds", "s", 1.0, 3, "lower")
COLUMNS = (
    Column("uncached_epoch_seconds", "computed", "epoch (s)", SECONDS),
    Column("cached_epoch_seconds", "read", "epoch (s)", SECONDS),
    Column("feature_seconds", "features, once (s)", "", SECONDS),
    Column("feature_cache_bytes", "kept (MiB)", "", Metric("kept", "MiB", MEBIBYTES, 1)),
    Column("epoch_ratio", "an epoch", "times as fast", TIMES),
    Column("run_ratio", "a run", "times as fast", TIMES),
)


def report(speed: pd.DataFrame) -> list[Table | Figure]:
    """A figure and its numbers for each backbone, suite and length of training."""
    conditions = ["suite", "backbone", "images", "batch_size", "epochs", "device", "timed"]
    groups = speed.groupby(conditions, sort=False)
    return [item for values, part in groups for item in _items(dict(zip(conditions, values, strict=True)), part)]


def _items(about: dict[str, Any], rows: pd.DataFrame) -> Sequence[Table | Figure]:
    on_cpu = str(about["device"]).startswith("cpu")
    words = ("suite", "backbone") if on_cpu else ("suite", "backbone", "device")
    name = "-".join(slug(str(about[key])) for key in words)
    clock = ", in seconds of the processor's work" if on_cpu else ""
    caption = (
        f"{about['backbone']} on {about['images']} images of the suite {about['suite']}, batch {about['batch_size']}, "
        f"fp32. A run of {about['epochs']} epochs, features computed once included, is "
        f"{'timed' if about['timed'] else 'projected from timed epochs'}; both ways in one process. Times and bytes "
        f"are those of training, without evaluation{clock}; where nothing is kept, the ratio is noise around 1. "
        f"{_provenance(about['device'], rows)}"
    )
    return beside_each_other(f"speed-{name}", caption, rows)


def beside_each_other(name: str, caption: str, rows: pd.DataFrame) -> Sequence[Table | Figure]:
    """Cached and uncached training of each method, as a table and a figure, the one that gains most first."""
    ordered = rows.assign(
        epoch_ratio=rows["uncached_epoch_seconds"] / rows["cached_epoch_seconds"],
        run_ratio=rows["uncached_run_seconds"] / rows["cached_run_seconds"],
    ).sort_values("run_ratio", ascending=False)
    cells = [(Cell(word=str(row["method"])), *(_cell(row, c.key) for c in COLUMNS)) for _, row in ordered.iterrows()]
    table = Table(f"{name}-table", caption, (Column("method", "method"), *COLUMNS), tuple(cells))
    return table, _figure(name, caption, ordered)


def _provenance(device: str, rows: pd.DataFrame) -> str:
    """Where, when and how it was measured; those that come with the checkout were measured elsewhere."""
    commits = [f"commit {commit}" for commit in values(rows, "commit")]
    when = ", ".join([device, *(values(rows, "date") or ["date not recorded"]), *commits])
    by = " and ".join(f"`{command}`" for command in values(rows, "command")) or "a command that was not recorded"
    return f"Measured on {when}, by {by}; `make speed` measures this machine."


def _cell(row: Any, key: str) -> Cell:
    return Cell(None if pd.isna(row[key]) else float(row[key]))


def _figure(name: str, caption: str, rows: pd.DataFrame) -> Figure:
    with panel("uncached time / cached time", "") as (drawing, axes):
        heights = range(len(rows))
        logarithmic(axes, "x", [*rows["run_ratio"], 1])
        draw_bars(axes, list(rows["method"]), list(rows["run_ratio"] - 1), left=1)
        axes.plot(rows["epoch_ratio"], heights, "D", color="0.25", markersize=3, label="one epoch")
        axes.axvline(1, color="0.4", linewidth=0.8)
        for height, ratio in zip(heights, rows["run_ratio"], strict=True):
            axes.text(1.02, height, f"{ratio:.1f}", transform=axes.get_yaxis_transform(), va="center", fontsize=7)
        axes.text(1.02, 1, "run", transform=axes.transAxes, va="bottom", fontsize=7)
        axes.legend(frameon=False, loc="lower right")
    return Figure(name, caption, drawing)
