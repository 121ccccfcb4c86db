"""What the feature cache saves: every method cached and uncached, on the embedded suite and on synthetic images.

`python -m bench.side_by_side` measures epochs and the computation of features through `execute`, projects them to a
whole run (or times it, with --whole), prints the ratios, and keeps them for the report `speed`.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.progress import track

from bench.execute import execute
from bench.execution import Execution
from bench.feed import store_for
from bench.request import Request, device_of, grid_of
from bench.run import Run, plan_grid
from datasets.base import Example, Suite, Task
from methods.backbone import find
from methods.spec import parse_list
from results import Record, save_measured

__all__ = ["Compared", "compare", "main", "synthetic"]

ROOT = Path(__file__).resolve().parent.parent
METHODS = "linear,head2toe,lst,vqt,synqt,dtl,lora:layer=7,lora"
CLASSES, TESTED = 100, 2


@dataclasses.dataclass(frozen=True)
class Compared:
    """One method with and without the cache. Seconds of a whole run are projected unless `timed`."""

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

    @property
    def ratio(self) -> float:
        """Of whole runs, uncached over cached."""
        return self.uncached_run_seconds / self.cached_run_seconds


def compare(run: Run, device: torch.device, epochs: int, sample: int) -> Compared:
    """Time `sample` epochs each way; where that is all there are, the run is timed and not projected."""
    plain = execute(_with_epochs(run, sample), Execution(device, "off"))
    how = Execution(device)
    store_for(how).clear()
    kept = execute(_with_epochs(run, max(sample, 3) if sample < epochs else sample), how)
    filled, each = kept.speedups.feature_cache_seconds or 0.0, [_epoch(record) for record in (plain, kept)]
    timed = sample == epochs
    whole = [sum(r.cost.epoch_seconds) if timed else epochs * one for r, one in zip((plain, kept), each, strict=True)]
    return Compared(
        suite=run.suite,
        backbone=run.backbone.name,
        method=str(run.method),
        images=run.task.sizes["train"],
        batch_size=run.recipe.batch_size,
        epochs=epochs,
        stages=len(plain.cost.epoch_seconds) // sample,
        device=plain.where.device,
        uncached_epoch_seconds=each[0],
        cached_epoch_seconds=each[1],
        feature_seconds=filled,
        feature_cache_bytes=kept.speedups.feature_cache_bytes,
        uncached_run_seconds=whole[0],
        cached_run_seconds=whole[1] + filled,
        timed=timed,
    )


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
    console.print(f"wrote {save_measured(options.results, options.name, rows)}; python bench.py report speed draws it")


def _runs(options: argparse.Namespace) -> list[Run]:
    backbone = find(options.backbone)
    suite, recipe = synthetic(options.images, backbone.image_size), {"batch_size": options.batch_size}
    drawn = plan_grid(backbone, parse_list(options.methods), suite, suite.tasks, "common", (0,), recipe)
    embedded = grid_of(Request(options.methods, tasks="digits", recipe="common", batch_size=options.batch_size))
    return {"both": [*embedded, *drawn], "embedded": embedded, "synthetic": drawn}[options.on]


def _with_epochs(run: Run, epochs: int) -> Run:
    return dataclasses.replace(run, recipe=dataclasses.replace(run.recipe, epochs=epochs))


def _epoch(record: Record) -> float:
    """Seconds of an epoch of every stage: the median after the first of each, which warms up, if there are more."""
    seconds, length = record.cost.epoch_seconds, record.recipe["epochs"]
    stages = [seconds[start : start + length] for start in range(0, len(seconds), length)]
    return sum(statistics.median(stage[1:] or stage) for stage in stages)


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
    parser.add_argument("--sample", type=int, default=2, help="epochs that are timed")
    parser.add_argument("--whole", action="store_true", help="time whole runs instead of projecting them")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--name", default="speed", help="of the file below results/measured")
    parser.add_argument("--results", type=Path, default=ROOT / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
