"""Joules that a card has used, by the counter of NVIDIA's management library (nvidia-ml-py, where it is installed)."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

__all__ = ["EnergyMeter", "joules"]


def joules(device: torch.device) -> float | None:
    """Return what the whole card has used since its driver was loaded, other processes included.

    None where there is no counter: on a CPU, on cards before Volta, without nvidia-ml-py. The counter moves about
    every tenth of a second, so that differences over less than a second or two mean little. Nothing is waited for.
    """
    if device.type != "cuda":
        return None
    library, handle = _counter(device.index or 0)
    if handle is None:
        return None
    try:
        return float(library.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1000
    except library.NVMLError:
        return None


class EnergyMeter:
    """Adds up the joules of a card over stretches of time, such as the epochs of a training with tests in between."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before: float | None = None
        self.total: float | None = None  # of the stretches that are over; None where no card tells

    def start(self) -> None:
        """Begin a stretch; one that has begun and is not over is forgotten."""
        self._before = joules(self._device)

    def stop(self) -> None:
        """End the stretch. Call it where the device has nothing left to do."""
        after = joules(self._device)
        if after is not None and self._before is not None:
            self.total = (self.total or 0.0) + after - self._before
        self._before = None


@cache
def _counter(index: int) -> tuple[Any, Any]:
    """Return the library, and its handle of the device that torch calls `index`, whichever devices are visible."""
    try:
        import pynvml
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(index).uuid}")
    except pynvml.NVMLError:
        return pynvml, None
