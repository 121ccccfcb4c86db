"""What `--dry-run` says: what would run, how much of it is there, and how long the rest takes, by which numbers."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track

import results
from bench.grid.estimate import Estimate, estimates, measured_rates, recorded_rates, with_workers
from bench.grid.grid import Pending
from bench.machine import cores
from bench.run import Run

__all__ = ["preview"]


def preview(
    runs: Sequence[Run], pending: Pending, device: torch.device, workers: int, root: Path, console: Console
) -> None:
    """Print it; nothing on disk changes and nothing is downloaded."""
    first, left = runs[0], pending.left
    methods = ", ".join(dict.fromkeys(str(run.method) for run in runs))
    tasks = ", ".join(dict.fromkeys(run.task.name for run in runs))
    console.print(f"backbone {first.backbone.name}, recipe {first.recipe_name}, device {device.type}", soft_wrap=True)
    console.print(f"methods  {methods}\ntasks    {tasks}", soft_wrap=True)
    console.print(f"runs     {len(runs)}, of which {len(pending.finished)} are there and {len(left)} are left")
    for line in _times(left, device, workers, root, console):
        console.print(line, soft_wrap=True, highlight=False)


def _times(left: Sequence[Run], device: torch.device, workers: int, root: Path, console: Console) -> list[str]:
    """A line for this machine, where the numbers come from, and a line for each GPU that was measured."""
    records, costs = results.load_all(root)[0], results.load_costs(root)[0]
    here = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    known = (measured_rates(left, costs, here) if here else {}) | recorded_rates(records, here or device.type)
    found = [estimate for estimate in estimates(left, known, device, functools.partial(_timing, console)) if estimate]
    unit = "GPU-hours" if here else None
    lines = [f"time     about {_both(found, workers, unit)}", f"from     {_sources(left, found)}"]
    names = {record.where.device for record in records} | {row.where.device for row in costs}
    for name in sorted(name for name in names if name != here and not name.startswith("cpu")):
        rates = measured_rates(left, costs, name) | recorded_rates(records, name)
        there = [estimate for estimate in estimates(left, rates, None) if estimate]
        if there:
            part = "" if len(there) == len(left) else f" for the {len(there)} runs that are known there"
            lines.append(f"on {name}: about {_both(there, workers, 'GPU-hours')}{part}, by {_sources(left, there)}")
    return lines


def _timing(console: Console, runs: Sequence[Run]) -> Iterable[Run]:
    """A bar over the runs of which steps are timed, or a line where there is no terminal."""
    if runs and not console.is_terminal:
        console.print(f"timing   a step of each of {len(runs)} methods on this machine")
    return track(runs, "timing a step", console=console, transient=True, disable=not console.is_terminal)


def _both(found: Sequence[Estimate], workers: int, unit: str | None) -> str:
    """For one device and for so many workers, each as fast as one alone."""
    seconds = [estimate.seconds for estimate in found]
    total = f"{sum(seconds) / 3600:.1f} {unit}" if unit else _duration(sum(seconds))
    alone = f"{total} for what is left, one run after another"
    if workers == 1:
        return alone
    at_once = workers if unit else min(workers, cores())
    return f"{alone}; {_duration(with_workers(seconds, at_once))} with {workers} workers"


def _sources(left: Sequence[Run], found: Sequence[Estimate]) -> str:
    counts = Counter(estimate.source for estimate in found)
    told = ", ".join(f"{source} ({count} runs)" for source, count in counts.most_common()) or "nothing"
    images = sum(run.task.sizes["test"] for run in left)
    return f"{told}; {images:,} test images in all; without feature cache, loading of data and start-up"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
