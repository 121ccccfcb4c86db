"""One row for each score and cost that a report may show: label, unit, conversion, digits, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["METRICS", "Metric"]


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


PERCENT, MILLIONS, MEBIBYTES = 100.0, 1e-6, 2.0**-20

PARAMETERS, MEMORY = "trainable parameters", "peak memory"

METRICS = {
    "test_accuracy": Metric("test accuracy", "%", PERCENT, 1, "higher"),
    "best_test_accuracy": Metric("best test accuracy of any epoch", "%", PERCENT, 1, "higher"),
    "trainable": Metric("with head", "M", MILLIONS, 3, "lower", PARAMETERS),
    "trainable_without_head": Metric("without head", "M", MILLIONS, 3, "lower", PARAMETERS),
    "total": Metric("all parameters", "M", MILLIONS, 2, "lower"),
    "planned_peak_bytes": Metric("planned", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "peak_bytes": Metric("measured on CUDA", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "reserved_bytes": Metric("reserved on CUDA", "MiB", MEBIBYTES, 0, "lower", MEMORY),
    "epoch_seconds": Metric("epoch", "s", 1.0, 2, "lower", "time"),
    "train_seconds": Metric("training", "s", 1.0, 1, "lower", "time"),
    "test_seconds": Metric("evaluation", "s", 1.0, 1, "lower", "time"),
    "train_images": Metric("training images", "", 1.0, 0),
    "test_images": Metric("test images", "", 1.0, 0),
}
