"""What the feature cache saves: every method cached and uncached, on the embedded suite and on synthetic images.

`python -m tools.side_by_side` measures epochs and the computation of features through `execute`, projects them to a
whole run (or times it, with --whole), prints the ratios, and keeps them for the report `speed`.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from bench.features.reader import store_for
from bench.grid.request import Request, device_of, grid_of
from bench.run import Run, plan_grid
from bench.runner.execute import execute
from bench.settings import RunSettings
from datasets.base import Example, Suite, Task
from methods.backbones.registry import find
from methods.spec import parse_list
from results import Record, load_measured, save_measured

__all__ = ["Compared", "compare", "main", "synthetic"]

ROOT = Path(__file__).resolve().parent.parent
METHODS = "linear,head2toe,lst,vqt,synqt,dtl,lora:layer=7,lora"
CLASSES, TESTED = 100, 2


@dataclasses.dataclass(frozen=True)
class Compared:
    """One method with and without the cache. Seconds of a whole run are projected unless `timed`.

    On a CPU they are seconds of this process's work. A commit with a plus had uncommitted changes.
    """

    suite: str
    backbone: str
    method: str
    images: int
    batch_size: int
    epochs: int
    stages: int
    device: str
    uncached_epoch_seconds: float  # of all stages, an epoch each
    cached_epoch_seconds: float
    feature_seconds: float
    feature_cache_bytes: int | None
    uncached_run_seconds: float
    cached_run_seconds: float
    timed: bool
    date: str
    commit: str | None
    command: str

    @property
    def ratio(self) -> float:
        """Of whole runs, uncached over cached."""
        return self.uncached_run_seconds / self.cached_run_seconds


def compare(run: Run, device: torch.device, epochs: int, sample: int) -> Compared:
    """Time `sample` epochs each way; where that is all there are, the run is timed and not projected."""
    short, settings = _with_epochs(run, sample), RunSettings(device)
    plain = _timed(short, RunSettings(device, cache_features="off"))
    store_for(settings).clear()
    cold, warm = (_timed(short, settings) for _ in range(2))  # the first computes the features, the second finds them
    filled = max(0.0, cold.until_first - warm.until_first) if warm.record.speedups.feature_cache else 0.0
    timed = sample == epochs
    whole = [one.all_epochs if timed else epochs * one.epoch for one in (plain, warm)]
    where = plain.record.where
    return Compared(
        suite=run.suite,
        backbone=run.backbone.name,
        method=str(run.method),
        images=run.task.sizes["train"],
        batch_size=run.recipe.batch_size,
        epochs=epochs,
        stages=plain.stages,
        device=where.device,
        uncached_epoch_seconds=plain.epoch,
        cached_epoch_seconds=warm.epoch,
        feature_seconds=filled,
        feature_cache_bytes=warm.record.speedups.feature_cache_bytes,
        uncached_run_seconds=whole[0],
        cached_run_seconds=whole[1] + filled,
        timed=timed,
        date=where.date[:10],
        commit=where.commit and where.commit[:7] + "+" * bool(where.dirty),
        command=where.command,
    )


@dataclasses.dataclass(frozen=True)
class Timed:
    """A run and when its epochs ended, from its start; on a CPU in seconds of its work, which others cannot slow."""

    record: Record
    ends: tuple[float, ...]

    @property
    def stages(self) -> int:
        """How often the method trains."""
        return len(self.ends) // int(self.record.recipe["epochs"])

    @property
    def until_first(self) -> float:
        """Until the first epoch is over: planning, building, computing features and that epoch."""
        return self.ends[0]

    @property
    def epoch(self) -> float:
        """An epoch of every stage: the median of those after the first of each, which warms up."""
        length = len(self.ends) // self.stages
        stages = [self.ends[start : start + length] for start in range(0, len(self.ends), length)]
        return sum(statistics.median(after - before for before, after in pairwise(stage)) for stage in stages)

    @property
    def all_epochs(self) -> float:
        """All of them, the first one taken to be like the others."""
        return self.ends[-1] - self.ends[0] + self.epoch / self.stages


def _timed(run: Run, settings: RunSettings) -> Timed:
    clock = time.perf_counter if settings.device.type == "cuda" else time.process_time
    started, ends = clock(), list[float]()
    record = execute(run, settings, lambda _: ends.append(clock() - started))
    return Timed(record, tuple(ends))


def synthetic(images: int, size: int) -> Suite:
    """One task of noise."""

    def examples(split: str) -> Iterator[Example]:
        random = np.random.default_rng(0)
        for i in range({"train": images, "test": TESTED}[split]):
            yield Image.fromarray(random.integers(0, 256, (size, size, 3), dtype=np.uint8)), i % CLASSES

    task = Task("noise", "natural", CLASSES, {"train": images, "test": TESTED}, examples)
    return Suite("synthetic", "Noise", ("natural",), (task,), "common", "random:vit_base_patch16_224")


def main() -> None:
    """Measure, print and keep."""
    options = _options()
    device, rows, console = device_of(options.device), [], Console()
    for run in track(_runs(options), "comparing", console=console, disable=not console.is_terminal, transient=True):
        row = compare(run, device, options.epochs, options.epochs if options.whole else options.sample)
        rows.append(dataclasses.asdict(row))
        console.print(_line(row), highlight=False, soft_wrap=True)
    path = save_measured(options.results, "speed", [*_others(options.results, rows), *rows])
    console.print(f"wrote {path}; python bench.py report speed draws it", soft_wrap=True)


def _others(root: Path, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was measured before on other suites, backbones and devices."""
    before = load_measured(root, "speed")
    if before is None:
        return []
    measured = {_where(row) for row in rows}
    kept = before.astype(object).where(before.notna(), None).to_dict("records")
    return [{str(k): v for k, v in row.items()} for row in kept if _where(row) not in measured]


def _where(row: dict[Any, Any]) -> tuple[str, ...]:
    """Rows that are alike in this are measured together; all CPUs are one device."""
    return row["suite"], row["backbone"], "cpu" if row["device"].startswith("cpu") else row["device"]


def _runs(options: argparse.Namespace) -> list[Run]:
    backbone = find(options.backbone)
    suite, recipe = synthetic(options.images, backbone.image_size), {"batch_size": options.batch_size}
    drawn = plan_grid(backbone, parse_list(options.methods), suite, suite.tasks, "common", (0,), recipe)
    embedded = grid_of(Request(options.methods, tasks="digits", recipe="common", batch_size=options.batch_size))
    return {"both": [*embedded, *drawn], "embedded": embedded, "synthetic": drawn}[options.on]


def _with_epochs(run: Run, epochs: int) -> Run:
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, epochs=epochs))


def _line(row: Compared) -> str:
    size = "not cached" if row.feature_cache_bytes is None else f"{row.feature_cache_bytes / 2**20:.1f} MiB"
    return (
        f"{row.suite:<9} {row.method:<12} epoch {row.uncached_epoch_seconds:8.3f} s, cached "
        f"{row.cached_epoch_seconds:7.3f} s; features {row.feature_seconds:6.2f} s, {size}; "
        f"{row.epochs} epochs {'timed' if row.timed else 'projected'}: {row.ratio:6.1f} times as fast"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", default=METHODS, help="specs, as for bench.py")
    parser.add_argument("--on", choices=("both", "embedded", "synthetic"), default="both")
    parser.add_argument("--backbone", default="random:vit_tiny_patch16_224", help="of the synthetic images")
    parser.add_argument("--images", type=int, default=64, help="synthetic ones to train on")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--epochs", type=int, default=100, help="of the whole run")
    parser.add_argument("--sample", type=int, default=3, help="epochs of each run that are timed, two or more")
    parser.add_argument("--whole", action="store_true", help="time whole runs instead of projecting them")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    options = parser.parse_args()
    if min(options.sample, options.epochs) < 2:
        parser.error("--sample and --epochs must be 2 or more, since a first epoch warms up")
    return options


if __name__ == "__main__":
    main()
