"""What `--dry-run` says: what would run, how much of it is there, and how long the rest takes, by which numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import results
from bench.cli.guard import say
from bench.grid.estimate import KEPT, Estimate, Rate, estimates, key_of, known_rates, with_workers
from bench.grid.grid import Pending
from bench.machine import cores
from bench.run import Run
from results import numbered

__all__ = ["preview"]


def preview(pending: Pending, device: torch.device, workers: int, root: Path, console: Console) -> None:
    """Print it; nothing on disk changes and nothing is downloaded."""
    runs, left = pending.runs, pending.left
    first = runs[0]
    methods = ", ".join(dict.fromkeys(str(run.method) for run in runs))
    tasks = ", ".join(dict.fromkeys(run.task.name for run in runs))
    say(console, f"backbone {first.backbone.name}, recipe {first.recipe_name}, device {device.type}")
    say(console, f"methods  {methods}\ntasks    {tasks}")
    console.print(f"runs     {len(runs)}, of which {len(pending.finished)} are there and {len(left)} are left")
    for line in _times(left, [run for run, _ in pending.finished], device, workers, root):
        say(console, line)


def _times(left: Sequence[Run], done: Sequence[Run], device: torch.device, workers: int, root: Path) -> list[str]:
    """Return a line for this machine, where the numbers come from, and a line for each GPU that was measured."""
    records, costs = results.load_all(root)[0], results.load_costs(root)[0]
    here = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    known = known_rates(left, records, costs, here or device.type)
    told = estimates(left, known, done)
    found = [estimate for estimate in told if estimate]
    unknown = [run for run, estimate in zip(left, told, strict=True) if estimate is None]
    lines = []
    if found or not left:
        part = "" if len(found) == len(left) else f" for {numbered(len(found), 'known run')}"
        lines.append(f"time     about {_both(found, workers, 'GPU-hours' if here else None)}{part}")
        lines.append(f"from     {_sources(left, found)}")
        for reason, count in Counter(_why(run, [*left, *done], known, root) for run in unknown).items():
            lines.append(f"unknown  {numbered(count, 'run')}: {reason}")
    else:
        images = sum(run.task.sizes["test"] for run in left)
        why = _why(left[0], [*left, *done], known, root)
        lines.append(
            f"time     not known for {numbered(len(left), 'run')}, {numbered(images, 'test image')} in all: {why}"
        )
    names = {record.where.device for record in records} | {row.where.device for row in costs}
    for name in sorted(name for name in names if name != here and not name.startswith("cpu")):
        rates = known_rates(left, records, costs, name)
        there = [estimate for estimate in estimates(left, rates, done) if estimate]
        if there:
            part = "" if len(there) == len(left) else f" for {numbered(len(there), 'run')} known there"
            lines.append(f"on {name}: about {_both(there, workers, 'GPU-hours')}{part}, by {_sources(left, there)}")
    return lines


def _why(run: Run, runs: Sequence[Run], known: Mapping[Any, Rate], root: Path) -> str:
    """Why the time of a run is not known, and what to do about it."""
    alike = [known[key] for key in map(key_of, runs) if key in known and key[2:] == key_of(run)[2:]]
    if any(not rate.cached for rate in alike):
        return "planning their FLOPs was cut short; ask for fewer methods"
    if alike:
        return (
            f"records in {root} with kept features tell of like runs alone; "
            "do one of these with --cache-features off, and ask again"
        )
    return f"no record in {root} says how fast this machine is; do one run, and ask again"


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
    told = ", ".join(f"{source} ({numbered(count, 'run')})" for source, count in counts.most_common()) or "nothing"
    images = sum(run.task.sizes["test"] for run in left)
    without = "loading of data and start-up" if counts[KEPT] else "feature cache, loading of data and start-up"
    return f"{told}; {numbered(images, 'test image')} in all; without {without}"


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"
