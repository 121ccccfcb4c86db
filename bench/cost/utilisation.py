"""The share of a device's peak that training uses (model FLOPs utilisation); None where the peak is not known.

Peaks are dense, of matrix products in the precision asked for: device_peaks.csv, by the name that CUDA gives a device.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

__all__ = ["peak_flops", "utilisation"]

TABLE = Path(__file__).with_name("device_peaks.csv")


def utilisation(flops_per_image: int, images_per_second: float, device: str, precision: str) -> float | None:
    """FLOPs of a training step, frozen and trained, over what the device could do in its time."""
    peak = peak_flops(device, precision)
    return None if peak is None else flops_per_image * images_per_second / peak


def peak_flops(device: str, precision: str) -> float | None:
    """FLOPs a second, two for each multiply-add."""
    stated = _table().get(device, {}).get(f"{precision}_teraflops")
    return float(stated) * 1e12 if stated else None


@cache
def _table() -> dict[str, dict[str, str]]:
    with TABLE.open(newline="") as file:
        return {row["device"]: row for row in csv.DictReader(file)}
