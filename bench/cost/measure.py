"""What a device shows: the allocator's peaks over training steps and inference, and images per second of both.

One synthetic batch and a fresh network, as the plan has them; never the training loop. Steps are timed after a warm-up,
between events and with one synchronise on CUDA, by the clock of the process on a CPU.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise

import torch
from torch import Tensor

from bench.cost.case import Case
from bench.cost.cuda_rules import TODAY, Rules
from bench.train.step import TrainState, autocast, lower_frozen, train_step
from methods import Network
from methods.recipe import Recipe

__all__ = ["Measured", "Peaks", "Timing", "measure", "steps_peaks", "timed", "training_peaks", "training_step"]

WARMUP, STEPS = 5, 30
STABLE = 0.05  # of the median
PEAK_STEPS = 3  # after the first, which has no optimiser state yet


@dataclass(frozen=True)
class Measured:
    """Fields of `results.Figures`; memory is None on a CPU, which has no allocator to ask."""

    peak_bytes: int | None = None
    reserved_bytes: int | None = None
    allocator_retries: int | None = None
    workspace_bytes: int | None = None
    measured_inference_peak_bytes: int | None = None
    train_images_per_second: float | None = None
    train_images_per_second_range: list[float] = field(default_factory=list)
    inference_images_per_second: float | None = None
    inference_images_per_second_range: list[float] = field(default_factory=list)
    unstable: bool | None = None


@dataclass(frozen=True)
class Peaks:
    """What the CUDA allocator counted since the last reset; all None on a CPU."""

    allocated: int | None = None
    reserved: int | None = None
    retries: int | None = None
    workspaces: int | None = None  # of cuBLAS, part of what was allocated; no plan has them


def measure(case: Case, device: torch.device, warmup: int = WARMUP, steps: int = STEPS) -> Measured:
    """Train and infer on one batch. Raises torch.OutOfMemoryError."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        train, training = _train(case, device, warmup, steps)
        infer, inference = _infer(case, device, warmup, steps)
    size = case.recipe.batch_size
    return Measured(
        peak_bytes=training.allocated,
        reserved_bytes=training.reserved,
        allocator_retries=training.retries,
        workspace_bytes=training.workspaces,
        measured_inference_peak_bytes=inference.allocated,
        train_images_per_second=train.rate(size),
        train_images_per_second_range=train.rates(size),
        inference_images_per_second=infer.rate(size),
        inference_images_per_second_range=infer.rates(size),
        unstable=train.unstable or infer.unstable,
    )


def training_peaks(case: Case, device: torch.device) -> Peaks:
    """Measure training steps, beyond what this process holds on the device; all None on a CPU, or out of memory."""
    try:
        return Peaks() if device.type != "cuda" else _peaks_beyond(case, device)
    except torch.OutOfMemoryError:
        return Peaks()


@cache
def _peaks_beyond(case: Case, device: torch.device) -> Peaks:
    """Measure a case once; raises torch.OutOfMemoryError, which is not remembered: another time there may be room."""
    with torch.random.fork_rng(devices=[device]):
        _clear(device)
        held = torch.cuda.memory_allocated(device)
        peaks = _train_peaks(_step_of(case, device), device)
    assert peaks.allocated is not None
    return Peaks(peaks.allocated - held)  # what is reserved belongs to the whole process


def _train(case: Case, device: torch.device, warmup: int, steps: int) -> tuple[Timing, Peaks]:
    _clear(device)
    step = _step_of(case, device)
    peaks = _train_peaks(step, device)
    return timed(step, device, warmup, steps), peaks


def _step_of(case: Case, device: torch.device) -> Callable[[], None]:
    return training_step(case.real(device, merged=False), *_batch(case, device), case.recipe, case.rules)


def steps_peaks(make: Callable[[], Callable[[], None]], device: torch.device) -> Peaks:
    """Measure the steps that `make` gives, which puts everything they need on the device; all None on a CPU.

    Raises torch.OutOfMemoryError.
    """
    _clear(device)
    return _train_peaks(make(), device)


def _train_peaks(step: Callable[[], None], device: torch.device) -> Peaks:
    before = _retries(device)
    step()
    _reset(device)
    for _ in range(PEAK_STEPS):
        step()
    return _peaks(device, before)


def _infer(case: Case, device: torch.device, warmup: int, steps: int) -> tuple[Timing, Peaks]:
    _clear(device)
    network, (images, _) = case.real(device, merged=True).eval(), _batch(case, device)
    if case.rules == TODAY:
        lower_frozen(network, case.recipe.precision)

    @torch.inference_mode()
    def step() -> None:
        with autocast(device.type, case.recipe.precision):
            network(images)

    before = _retries(device)
    step()
    _reset(device)
    step()
    peaks = _peaks(device, before)
    return timed(step, device, warmup, steps), peaks


def training_step(
    network: Network, images: Tensor, labels: Tensor, recipe: Recipe, rules: Rules = TODAY
) -> Callable[[], None]:
    """Return a function that makes one update as the plan has it (bench/cost/plan.py); nothing waits for the device."""
    if rules == TODAY:
        lower_frozen(network, recipe.precision)
    network.train()
    return partial(train_step, TrainState.of(network, recipe, images.device.type, rules.gradients), images, labels)


def _batch(case: Case, device: torch.device) -> tuple[Tensor, Tensor]:
    count, size = case.recipe.batch_size, case.image_size
    images = torch.randn(count, 3, size, size, device=device)
    return images, torch.randint(case.classes, (count,), device=device)


def _clear(device: torch.device) -> None:
    """Let go everything of the case before, also the workspaces of its matrix products."""
    gc.collect()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()


def _reset(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)


def _retries(device: torch.device) -> int:
    """Return how often the allocator freed its cache and tried again, since the process began."""
    return torch.cuda.memory_stats(device).get("num_alloc_retries", 0) if device.type == "cuda" else 0


def _peaks(device: torch.device, retries: int) -> Peaks:
    """Return the peaks since the last reset, and the retries beyond those before the case."""
    if device.type != "cuda":
        return Peaks()
    torch.cuda.synchronize(device)
    allocated, reserved = torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device)
    return Peaks(allocated, reserved, _retries(device) - retries, _workspaces(device))


def _workspaces(device: torch.device) -> int:
    """Return the bytes that cuBLAS holds, by letting them go; the next product takes them again."""
    before = torch.cuda.memory_allocated(device)
    torch._C._cuda_clearCublasWorkspaces()
    return before - torch.cuda.memory_allocated(device)


@dataclass(frozen=True)
class Timing:
    """Seconds of one step: the median and where 10 % and 90 % of the steps lie."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Timing:
        """Summarise the seconds of single steps."""
        tenths = statistics.quantiles(seconds, n=10, method="inclusive")
        return cls(statistics.median(seconds), tenths[0], tenths[-1])

    @property
    def unstable(self) -> bool:
        """Whether the range is wider than 5 % of the median."""
        return self.high - self.low > STABLE * self.median

    def rate(self, images: int) -> float:
        """Return images per second by the median step."""
        return images / self.median

    def rates(self, images: int) -> list[float]:
        """Return images per second of the slow and of the fast end of the range."""
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
