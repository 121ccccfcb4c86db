"""Peak memory when one block alone is tuned by LoRA, against the position of that block (SynQT, appendix Figure 1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.ticker import MultipleLocator

from reports.figures.style import draw_method, panel
from reports.tables.costs import Alike, alike, number
from reports.tables.table import GIBIBYTES, Cell, Column, Figure, Metric, Table

__all__ = ["report"]

SHOWN = ("planned_peak_bytes", "peak_bytes", "trainable_without_head", "train_flops_frozen", "train_flops_trained")
LEGEND = (
    "Only block k has a LoRA update: blocks below it are extracted without a graph, so a gradient passes k to the top."
)


def report(costs: pd.DataFrame) -> list[Table | Figure]:
    """A figure and its numbers for each set of conditions under which at least two positions are known."""
    single = costs[(costs["status"] == "ok") & costs["method"].str.match(r"lora(:.*)?:layer=\d+")]
    single = single.assign(
        layer=[int(settings["layer"]) for settings in single["settings"]],
        settings=[str({**settings, "layer": None}) for settings in single["settings"]],
    )
    groups = [Alike(part) for group in alike(single) for _, part in group.rows.groupby("settings", sort=False)]
    return [item for group in groups if group.rows["layer"].nunique() > 1 for item in _items(group)]


def _items(group: Alike) -> Sequence[Table | Figure]:
    lines = {int(line["layer"]): line for line in group.rows.sort_values("layer").to_dict("records")}
    caption = f"{group.conditions} {_settings(group)} {LEGEND}"
    return _table(group.name, caption, lines), _figure(group.name, caption, lines)


def _settings(group: Alike) -> str:
    """The settings apart from the position, as the specs have them."""
    spec = str(group.rows["method"].iloc[0])
    others = [part for part in spec.split(":")[1:] if not part.startswith("layer=")]
    return f"LoRA with {', '.join(others) or 'default settings'}."


def _table(name: str, caption: str, lines: Mapping[int, Mapping[Any, Any]]) -> Table:
    rows = [(Cell(float(layer)), *(Cell(number(line[key])) for key in SHOWN)) for layer, line in lines.items()]
    columns = Column("layer", "block", metric=Metric("block", "", 1, 0)), *map(Column.of, SHOWN)
    return Table(f"lora_position-{name}-table", caption, columns, tuple(rows)).without_empty()


def _figure(name: str, caption: str, lines: Mapping[int, Mapping[Any, Any]]) -> Figure:
    with panel("the block that is tuned (1 is next to the image)", "peak memory of training (GiB)") as (
        drawing,
        axes,
    ):
        for key, label, line in (("planned_peak_bytes", "planned", "-"), ("peak_bytes", "measured on CUDA", "--")):
            points = [(layer, size) for layer, line in lines.items() if (size := number(line[key])) is not None]
            if points:
                layers, sizes = [x for x, _ in points], [y * GIBIBYTES for _, y in points]
                draw_method(axes, "lora", layers, sizes, line=line, size=4.5, hollow=line == "--", label=label)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MultipleLocator(1))
        axes.legend(frameon=False)
    return Figure(f"lora_position-{name}", caption, drawing)
