"""Timing on a device: warm-up, then steps between events and one synchronise; on a CPU the clock of the process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

__all__ = ["Timing", "timed"]

WARMUP, STEPS = 5, 30
STABLE = 0.05  # of the median


@dataclass(frozen=True)
class Timing:
    """Seconds of one step: the median and where 10 % and 90 % of the steps lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """From the seconds of single steps."""
        tenths = statistics.quantiles(seconds, n=10, method="inclusive")
        return cls(statistics.median(seconds), tenths[0], tenths[-1])

    @property
    def unstable(self) -> bool:
        """Whether the range is wider than 5 % of the median."""
        return self.high - self.low > STABLE * self.median

    def rate(self, images: int) -> float:
        """Images per second by the median step."""
        return images / self.median

    def rates(self, images: int) -> list[float]:
        """Images per second of the slow and of the fast end of the range."""
        return [images / self.high, images / self.low]


def timed(step: Callable[[], object], device: torch.device, warmup: int = WARMUP, steps: int = STEPS) -> Timing:
    """Time `step`, which must not wait for the device itself."""
    for _ in range(warmup):
        step()
    return Timing.of(_on_cuda(step, device, steps) if device.type == "cuda" else _on_cpu(step, steps))


def _on_cuda(step: Callable[[], object], device: torch.device, steps: int) -> list[float]:
    """Between events, so that the host never waits inside the timed part."""
    events = [torch.cuda.Event(enable_timing=True) for _ in range(steps + 1)]
    torch.cuda.synchronize(device)
    events[0].record(torch.cuda.current_stream(device))
    for event in events[1:]:
        step()
        event.record(torch.cuda.current_stream(device))
    torch.cuda.synchronize(device)
    return [first.elapsed_time(last) / 1000 for first, last in pairwise(events)]


def _on_cpu(step: Callable[[], object], steps: int) -> list[float]:
    seconds = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds
