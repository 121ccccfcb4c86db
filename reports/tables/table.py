"""What a report gives back: tables, whose cells keep the raw numbers, and figures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reports.tables.metrics import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

__all__ = ["Cell", "Column", "Figure", "Item", "Table", "told_apart"]


@dataclass(frozen=True)
class Cell:
    """A raw number, perhaps with its standard deviation; or a word in its place; or nothing.

    `printed` is how a publication wrote the number, whose digits are kept.
    """

    value: float | None = None
    spread: float | None = None
    word: str = ""
    printed: str = ""


@dataclass(frozen=True)
class Column:
    """`key` is its name in the CSV; without a metric its cells are words. Neighbours of one `block` share a heading."""

    key: str
    label: str
    block: str = ""
    metric: Metric | None = None

    def number(self, cell: Cell) -> str:
        """The cell as shown: its word, or its number in the metric's unit and digits, or nothing."""
        return cell.word or cell.printed or self._shown(cell.value)

    def spread(self, cell: Cell) -> str:
        """The standard deviation as shown, or nothing."""
        return "" if cell.word else self._shown(cell.spread)

    def _shown(self, value: float | None) -> str:
        if value is None or self.metric is None:
            return ""
        digits = _digits(value, self.metric)
        return f"{round(value * self.metric.scale, digits) + 0.0:.{digits}f}"  # no minus before a zero


def _digits(value: float, metric: Metric) -> int:
    """Those of the metric, but as many as two figures take where a count would else be shown as zero."""
    scaled = abs(value * metric.scale)
    if abs(value) < 1 or round(scaled, metric.digits):  # what is less than one is no count
        return metric.digits
    return 1 - math.floor(math.log10(scaled))


@dataclass(frozen=True)
class Table:
    """Rows of cells, one a column. `name` is that of its files; the caption states conditions, notes explain words."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"table {self.name!r} has rows that do not fit its {len(self.columns)} columns")

    def best(self, place: int) -> frozenset[int]:
        """The rows that share the best value of a column as it is shown; none where there is nothing to choose."""
        column = self.columns[place]
        cells = {row: cells[place] for row, cells in enumerate(self.rows) if cells[place].value is not None}
        if column.metric is None or column.metric.better is None or len(cells) < 2:
            return frozenset()
        choose = max if column.metric.better == "higher" else min
        best = column.number(choose(cells.values(), key=lambda cell: cell.value or 0.0))
        return frozenset(row for row, cell in cells.items() if column.number(cell) == best)

    def blocks(self) -> list[list[int]]:
        """The places of the columns, neighbours of one block together; a column without a block stands alone."""
        runs: list[list[int]] = []
        for place, column in enumerate(self.columns):
            if place and column.block and column.block == self.columns[place - 1].block:
                runs[-1].append(place)
            else:
                runs.append([place])
        return runs


@dataclass(frozen=True)
class Figure:
    """A drawing, saved as PNG and PDF; the caption says what is seen under which conditions."""

    name: str
    caption: str
    drawing: Drawing


Item = Table | Figure


def told_apart(items: Sequence[Item]) -> list[Item]:
    """The same items, a number behind each name that came before, so that no file replaces another."""
    names = [item.name for item in items]
    counts = [names[:place].count(name) for place, name in enumerate(names)]
    return [
        dataclasses.replace(item, name=f"{item.name}-{count + 1}") if count else item
        for item, count in zip(items, counts, strict=True)
    ]
