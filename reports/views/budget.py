"""Which method fits which card: the batch that fits against the card's memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import pandas as pd

from reports.figures.labels import height_for, make_room, name_ends
from reports.figures.style import HEIGHT, draw_method, logarithmic, panel
from reports.tables.costs import Alike, alike
from reports.tables.table import Cell, Column, Figure, Metric, Table, in_order

__all__ = ["report"]

CARDS = (6, 8, 11, 12, 16, 24, 32, 40, 48, 80)  # GiB
BATCH = Metric("images", "images", 1, 0, "higher")
LEGEND = (
    "The largest batch of training whose planned reserved memory plus a margin of 5 % and 512 MiB (kernels chosen "
    "otherwise, CUDA context) fits the card; on a line between planned batches of {}. `cost --budget` searches the "
    "exact batch."
)
Lines = Mapping[str, Sequence[tuple[int, int]]]  # by method: batch and the bytes of a card that it needs


def report(costs: pd.DataFrame) -> list[Table | Figure]:
    """A table and a figure for each set of conditions under which some method is planned at several batches."""
    planned = costs[costs["status"] == "ok"]
    return [item for group in alike(planned, "batch_size") for item in _items(group)]


def _items(group: Alike) -> Sequence[Table | Figure]:
    known = {
        method: sorted(zip(part["batch_size"].astype(int), part["needed_bytes"].astype(int), strict=True))
        for method, part in group.rows.groupby("method", sort=False)
    }
    lines = {method: known[method] for method in in_order(map(str, known)) if len(known[method]) > 2}
    if not lines:
        return []
    batches = sorted({batch for points in lines.values() for batch, _ in points})
    caption = f"{group.conditions} {LEGEND.format(', '.join(map(str, batches)))}"
    return _table(group.name, caption, lines), _figure(group.name, caption, lines)


def fitting(points: Sequence[tuple[int, int]], budget: float) -> float:
    """Return the batch at which a card of `budget` bytes is full; less than 1 where not even one image fits."""
    pairs = list(pairwise(points))
    (low, below), (high, above) = next((pair for pair in pairs if pair[1][1] > budget), pairs[-1])
    return low + (budget - below) * (high - low) / (above - below)


def _table(name: str, caption: str, lines: Lines) -> Table:
    columns = [Column(f"batch_{size}_gib", f"{size} GiB", "card", BATCH) for size in CARDS]
    cells = [[_cell(fitting(points, size * 2**30)) for size in CARDS] for points in lines.values()]
    rows = tuple((Cell(word=method), *row) for method, row in zip(lines, cells, strict=True))
    return Table(f"budget-{name}-table", caption, (Column("method", "method"), *columns), rows)


def _cell(batch: float) -> Cell:
    return Cell(float(int(batch))) if batch >= 1 else Cell(word="none")


def _figure(name: str, caption: str, lines: Lines) -> Figure:
    fits = {
        method: [(size, batch) for size in CARDS if (batch := fitting(points, size * 2**30)) >= 1]
        for method, points in lines.items()
    }
    fits = {method: points for method, points in fits.items() if points}
    height = height_for(len(fits), HEIGHT)
    with panel("memory of the card (GiB)", "largest batch that fits (images)", height) as (drawing, axes):
        for method, points in fits.items():
            sizes, batches = zip(*points, strict=True)
            draw_method(axes, method, sizes, batches, line="-", size=4.5)
        logarithmic(axes, "x", [size for size in CARDS if size != 11], only=True)  # no room beside 12
        logarithmic(axes, "y", [batch for points in fits.values() for _, batch in points])
        make_room(drawing, 1, fits or [""])
    name_ends(axes, list(fits), [points[-1] for points in fits.values()])
    return Figure(f"budget-{name}", caption, drawing)
