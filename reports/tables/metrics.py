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

BILLIONS, GIBIBYTES = 1e-9, 2.0**-30

PARAMETERS, MEMORY = "trainable parameters", "peak memory"
PARTS, MACS, STEP, SPEED = "planned peak, of which", "multiply-adds an image", "training step, an image", "speed"

METRICS = {
    "test_accuracy": Metric("test accuracy", "%", PERCENT, 1, "higher"),
    "best_test_accuracy": Metric("best test accuracy of any epoch", "%", PERCENT, 1, "higher"),
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
