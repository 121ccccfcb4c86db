"""Planned memory and work of each method on backbones of several sizes: how the gaps grow with the backbone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes

from reports.figures.style import HEIGHT, WIDTH, draw_method, logarithmic, panels
from reports.tables.costs import Alike, alike, number
from reports.tables.table import GIBIBYTES, METRICS, Cell, Column, Figure, Table, in_order

__all__ = ["NOTHING", "report"]

NOTHING = "no conditions have costs of one method on two backbones; `report backbones` plans them on S, B, L and H"
DRAWN = ("full", "lora", "adapter", "vpt_deep", "bitfit", "dtl", "lst", "synqt", "linear")
SHOWN = ("planned_peak_bytes", "train_flops")
LEGEND = (
    "Every method has its default settings. A point is a backbone, from left to right by its parameters. Methods with "
    "gradients through the whole backbone (entangled) grow with it as full fine-tuning does; those beside it keep what "
    "they read and little else."
)


def report(costs: pd.DataFrame) -> list[Table | Figure]:
    """A table and a figure for each set of conditions under which methods were planned on at least two backbones."""
    plain = costs[(costs["status"] == "ok") & ~costs["method"].str.contains(":") & (costs["protocol"] == "")]
    plain = plain.assign(train_flops=plain["train_flops_frozen"] + plain["train_flops_trained"])
    return [item for group in alike(plain, "backbone") for item in _items(group)]


def _items(group: Alike) -> Sequence[Table | Figure]:
    rows = group.rows.dropna(subset=["planned_peak_bytes"]).drop_duplicates(["backbone", "method"])
    sizes = rows[rows["method"] == "full"].set_index("backbone")["total"].sort_values()
    rows = rows[rows["backbone"].isin(sizes.index)]
    if len(sizes) < 2:
        return []
    group = Alike(rows)
    caption = f"{group.conditions} {LEGEND}"
    return _table(group.name, caption, rows, sizes), _figure(group.name, caption, rows, sizes)


def _table(name: str, caption: str, rows: pd.DataFrame, sizes: pd.Series) -> Table:
    peak = replace(METRICS["planned_peak_bytes"], unit="GiB", scale=GIBIBYTES, digits=2)
    work = replace(METRICS["train_flops_trained"], label="work of a step")
    columns = [
        Column(
            f"{key} {backbone}", f"{_short(backbone)} ({size / 1e6:.0f} M)", metric.label, metric, key == "train_flops"
        )
        for key, metric in (("planned_peak_bytes", peak), ("train_flops", work))
        for backbone, size in sizes.items()
    ]
    found = rows.set_index(["method", "backbone"])
    lines = [
        (
            Cell(word=method),
            *(
                Cell(number(found[key].get((method, backbone))))  # what a backbone cannot carry is left empty
                for key in SHOWN
                for backbone in sizes.index
            ),
        )
        for method in in_order(rows["method"].unique())
    ]
    return Table(f"backbones-{name}-table", caption, (Column("method", "method"), *columns), tuple(lines))


def _figure(name: str, caption: str, rows: pd.DataFrame, sizes: pd.Series) -> Figure:
    labels = ("planned peak memory (GiB)", "training work of an image (GFLOP)")
    with panels(1, len(SHOWN), WIDTH, HEIGHT) as (drawing, (axes,)):
        for key, scale, label, panel in zip(SHOWN, (GIBIBYTES, 1e-9), labels, axes, strict=True):
            for method in [each for each in DRAWN if each in set(rows["method"])]:
                _draw(panel, rows[rows["method"] == method], sizes, key, scale)
            logarithmic(panel, "x", [float(f"{size:.3g}") for size in sizes / 1e6], only=True)
            logarithmic(panel, "y")
            panel.set_xlabel("parameters of the backbone (million)")
            panel.set_ylabel(label)
        handles, names = axes[0].get_legend_handles_labels()
        drawing.legend(handles, names, loc="outside upper center", ncols=5, frameon=False)
    return Figure(f"backbones-{name}", caption, drawing)


def _draw(axes: Axes, rows: pd.DataFrame, sizes: pd.Series, key: str, scale: float) -> None:
    method = str(rows["method"].iloc[0])
    found = rows.set_index("backbone")[key]
    points = [(sizes[each] / 1e6, found[each] * scale) for each in sizes.index if each in found.index]
    draw_method(axes, method, *map(list, zip(*points, strict=True)), line="-", size=4, label=method)


def _short(backbone: object) -> str:
    """The name without where its weights are from."""
    return str(backbone).removeprefix("random:").partition(".")[0]
