"""What a report returns: figures, and tables of metrics whose cells keep the raw numbers; and the order of methods."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing


__all__ = [
    "METRICS", "Cell", "Column", "Estimate", "Figure", "Item", "Kept", "Metric", "Table", "in_order", "natural",
    "with_unique_names",
]  # fmt: skip
Kept = tuple[Path, str]  # the file of the predictions of a run, and its checksum
BASELINES = ("full", "linear")  # every published table starts with these
PERCENT, MILLIONS, MEBIBYTES = 100.0, 1e-6, 2.0**-20
BILLIONS, GIBIBYTES = 1e-9, 2.0**-30
PARAMETERS, MEMORY = "trainable parameters", "peak memory"
PARTS, MACS, STEP, SPEED = "planned peak, of which", "multiply-adds an image", "training step, an image", "speed"


@dataclass(frozen=True)
class Metric:
    """How a stored number is shown; `better` is None where neither way is."""

    label: str
    unit: str
    scale: float  # stored number times this is the shown one
    digits: int
    better: Literal["higher", "lower"] | None = None
    quantity: str = ""  # what several metrics are kinds of; the label then says which kind

    @property
    def heading(self) -> str:
        """Everything in one line: `peak memory, planned (MiB)`."""
        name = f"{self.quantity}, {self.label}" if self.quantity else self.label
        return f"{name} ({self.unit})" if self.unit else name

    @property
    def block(self) -> str:
        """What a table writes above the labels of one quantity: `peak memory (MiB)`."""
        return f"{self.quantity} ({self.unit})" if self.quantity else ""


METRICS = {
    "test_accuracy": Metric("test accuracy", "%", PERCENT, 1, "higher"),
    "best_test_accuracy": Metric("best test accuracy of any epoch", "%", PERCENT, 1, "higher"),
    "top5_accuracy": Metric("top-5 accuracy", "%", PERCENT, 1, "higher"),
    "mean_class_accuracy": Metric("accuracy, mean of classes", "%", PERCENT, 1, "higher"),
    "negative_log_likelihood": Metric("negative log-likelihood", "", 1.0, 3, "lower"),
    "calibration_error": Metric("calibration error", "%", PERCENT, 1, "lower"),
    "calibrated_error": Metric("calibration error after temperature", "%", PERCENT, 1, "lower"),
    "temperature": Metric("temperature", "", 1.0, 2),
    "trainable": Metric("with head", "M", MILLIONS, 3, "lower", PARAMETERS),
    "trainable_without_head": Metric("without head", "M", MILLIONS, 3, "lower", PARAMETERS),
    "total": Metric("all parameters", "M", MILLIONS, 2, "lower"),
    "printed_extra": Metric("printed beside", "M", MILLIONS, 3, None, PARAMETERS),
    "planned_peak_bytes": Metric("planned", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "planned_allocated_bytes": Metric("allocated, planned", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "planned_reserved_bytes": Metric("reserved, planned", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "peak_bytes": Metric("measured on CUDA", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "reserved_bytes": Metric("reserved on CUDA", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "inference_peak_bytes": Metric("inference, planned", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "measured_inference_peak_bytes": Metric("inference, on CUDA", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "difference": Metric("measured - planned", "%", PERCENT, 1),
    "needed_bytes": Metric("card needed", "GiB", GIBIBYTES, 2, "lower"),
    "planned_weights_bytes": Metric("weights", "MiB", MEBIBYTES, 0, None, PARTS),
    "planned_batch_bytes": Metric("batch", "MiB", MEBIBYTES, 0, None, PARTS),
    "planned_features_bytes": Metric("features", "MiB", MEBIBYTES, 0, None, PARTS),
    "planned_activations_bytes": Metric("activations", "MiB", MEBIBYTES, 0, None, PARTS),
    "planned_gradients_bytes": Metric("gradients", "MiB", MEBIBYTES, 0, None, PARTS),
    "planned_optimizer_bytes": Metric("optimizer", "MiB", MEBIBYTES, 0, None, PARTS),
    "macs": Metric("with attention", "G", BILLIONS, 2, "lower", MACS),
    "macs_modules": Metric("layers only", "G", BILLIONS, 2, "lower", MACS),
    "train_flops_frozen": Metric("frozen", "GFLOP", BILLIONS, 1, None, STEP),
    "train_flops_trained": Metric("trained", "GFLOP", BILLIONS, 1, "lower", STEP),
    "train_images_per_second": Metric("training", "images/s", 1.0, 0, "higher", SPEED),
    "inference_images_per_second": Metric("inference", "images/s", 1.0, 0, "higher", SPEED),
    "utilisation": Metric("of the device's peak, training", "%", PERCENT, 1, "higher", "FLOPs"),
    "feature_cache_bytes": Metric("feature cache", "MiB", MEBIBYTES, 1, "lower"),
    "cached_peak_bytes": Metric("with the feature cache", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "checkpoint_bytes": Metric("checkpoint (MiB)", "MiB", MEBIBYTES, 2, "lower"),
    "epoch_seconds": Metric("epoch", "s", 1.0, 2, "lower", "time"),
    "train_seconds": Metric("training", "s", 1.0, 1, "lower", "time"),
    "train_joules": Metric("energy of training", "kJ", 1e-3, 2, "lower"),
    "test_seconds": Metric("evaluation", "s", 1.0, 1, "lower", "time"),
    "train_images": Metric("training images", "", 1.0, 0),
    "test_images": Metric("test images", "", 1.0, 0),
}


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error, and the interval that covers the truth in 95 of 100 cases."""

    value: float
    error: float
    freedom: float  # degrees of freedom of the error; infinite for a share of images
    low: float
    high: float
    kept: Kept | None = None


@dataclass(frozen=True)
class Cell:
    """Holds a raw number, perhaps with its standard deviation; or a word in its place; or nothing.

    `printed` is how a publication wrote the number, whose digits are kept; `alike` says that the number is the best of
    its column among our own, or cannot be told apart from it.
    """

    value: float | None = None
    spread: float | None = None
    word: str = ""
    printed: str = ""
    estimate: Estimate | None = field(default=None, compare=False, repr=False)
    alike: bool = field(default=False, compare=False, repr=False)


@dataclass(frozen=True)
class Column:
    """`key` is its name in the CSV; without a metric its cells are words. Neighbours of one `block` share a heading.

    A `detail` is left out by a terminal on which the whole table would take too many lines; files have every column.
    """

    key: str
    label: str
    block: str = ""
    metric: Metric | None = None
    detail: bool = False

    @classmethod
    def of(cls, key: str, *, detail: bool = False) -> Column:
        """Make the column of one of METRICS."""
        return cls(key, METRICS[key].label, METRICS[key].block, METRICS[key], detail)

    def number(self, cell: Cell) -> str:
        """Write the cell: its word, or its number in the metric's unit and digits, or nothing."""
        return cell.word or cell.printed or self._shown(cell.value)

    def spread(self, cell: Cell) -> str:
        """Write the standard deviation, or nothing."""
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

    @classmethod
    def of_columns(
        cls, name: str, caption: str, columns: Sequence[tuple[Column, Sequence[Cell]]], notes: tuple[str, ...] = ()
    ) -> Table:
        """Make a table of columns with their cells, of which all have as many."""
        rows = zip(*(cells for _, cells in columns), strict=True)
        return cls(name, caption, tuple(column for column, _ in columns), tuple(rows), notes)

    def best(self, index: int) -> frozenset[int]:
        """Find the rows with the best value of a column as it is shown, and those that cannot be told apart from it.

        There are none where there is nothing to choose.
        """
        column = self.columns[index]
        cells = {row: cells[index] for row, cells in enumerate(self.rows) if cells[index].value is not None}
        if column.metric is None or column.metric.better is None or len(cells) < 2:
            return frozenset()
        choose = max if column.metric.better == "higher" else min
        first = choose(cells.values(), key=lambda cell: cell.value or 0.0)
        best = column.number(first)
        return frozenset(
            row for row, cell in cells.items() if column.number(cell) == best or (first.alike and cell.alike)
        )

    def without_details(self) -> Table:
        """Return the table without the columns that are details."""
        return self._only([not column.detail for column in self.columns])

    def without_empty(self) -> Table:
        """Return the table without the columns in which all cells are empty."""
        return self._only([any(row[index] != Cell() for row in self.rows) for index in range(len(self.columns))])

    def _only(self, wanted: Sequence[bool]) -> Table:
        rows = tuple(tuple(compress(row, wanted)) for row in self.rows)
        return dataclasses.replace(self, columns=tuple(compress(self.columns, wanted)), rows=rows)

    def blocks(self) -> list[list[int]]:
        """Group the indices of neighbouring columns by their block; a column without a block stands alone."""
        runs: list[list[int]] = []
        for index, column in enumerate(self.columns):
            if index and column.block and column.block == self.columns[index - 1].block:
                runs[-1].append(index)
            else:
                runs.append([index])
        return runs


@dataclass(frozen=True)
class Figure:
    """A drawing, saved as PNG and PDF; the caption says what is seen under which conditions.

    `numbers`, of a trade-off, has a row for each point, which begins with its label: what the page shows of the point
    that the pointer is on. Its column `memory` is what the page's budget is about.
    """

    name: str
    caption: str
    drawing: Drawing
    numbers: Table | None = None
    memory: str = ""


Item = Table | Figure


def with_unique_names(items: Sequence[Item]) -> list[Item]:
    """Put a number behind each name that came before, so that no file replaces another."""
    names = [item.name for item in items]
    counts = [names[:index].count(name) for index, name in enumerate(names)]
    return [
        dataclasses.replace(item, name=f"{item.name}-{count + 1}") if count else item
        for item, count in zip(items, counts, strict=True)
    ]


def in_order(methods: Iterable[str]) -> list[str]:
    """Order methods: baselines first, then alphabetically with numbers by size."""
    names = {method: re.split(r"[: ]", method)[0] for method in methods}
    ranks = {method: BASELINES.index(name) if name in BASELINES else len(BASELINES) for method, name in names.items()}
    return sorted(names, key=lambda method: (ranks[method], natural(method)))


def natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts `lora:rank=4` before `lora:rank=16`."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", text)]
