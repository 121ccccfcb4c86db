"""How long runs will take: from records of like runs, from measured costs, else from a step timed now."""

from __future__ import annotations

import dataclasses
import heapq
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch

from bench.cost.step_time import seconds_of_an_image, stages_of
from bench.data.epochs import steps_in_epoch
from bench.run import Run
from datasets.transforms.preprocessing import PRESETS
from methods import Unsupported
from results import CostRecord, Record

__all__ = ["Estimate", "Rate", "estimates", "measured_rates", "recorded_rates", "with_workers"]


@dataclass(frozen=True)
class Rate:
    """Seconds an image: in one epoch of every stage that the method trains, and in the test."""

    train: float
    test: float
    source: str


@dataclass(frozen=True)
class Estimate:
    """Of one run; start-up is not in it, nor loading and augmenting of images unless a record knows them."""

    seconds: float
    source: str


Key = tuple[str, str, str, bool]  # backbone, method as resolved, precision, whether training images are augmented
Rates = dict[Key, Rate]


def estimates(
    runs: Sequence[Run],
    known: Rates,
    device: torch.device | None,
    progress: Callable[[Sequence[Run]], Iterable[Run]] = iter,
) -> list[Estimate | None]:
    """One for each run. Like runs share a rate; what is unknown is timed on `device`, or None without one.

    `progress` goes over the runs that are timed and may show how far it is.
    """
    rates = dict(known)
    unknown = {key_of(run): run for run in reversed(runs) if key_of(run) not in rates}
    for run in progress(list(reversed(unknown.values()))) if device is not None else ():
        assert device is not None
        rates[key_of(run)] = _timed(run, device)
    return [_estimate(run, rates.get(key_of(run))) for run in runs]


def with_workers(seconds: Sequence[float], workers: int) -> float:
    """When the last of so many workers is done, if the longest run that is left is always taken next."""
    ends = [0.0] * workers
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + run)
    return max(ends)


def key_of(run: Run) -> Key:
    """What makes runs alike."""
    augmented = PRESETS[run.recipe.preprocessing].augmentation is not None
    return run.backbone.name, str(run.resolved), run.recipe.precision, augmented


def recorded_rates(records: Iterable[Record], device: str) -> Rates:
    """Medians over records of runs that finished on the same kind of device ("cpu" or "cuda"), or on a named one."""
    seen: dict[Key, list[tuple[float, float]]] = {}
    for record in records:
        cost, name = record.cost, record.where.device
        like = device in (name, "cpu" if name.startswith("cpu") else "cuda")
        cached = record.speedups.feature_cache or record.speedups.test_cached  # then these are no times of a step
        if record.status != "ok" or not like or cached or not (cost.train_images and cost.test_images):
            continue
        method, precision = str(record.identity.changes.get("method")), str(record.recipe.get("precision"))
        key = record.identity.backbone, method, precision, "augmentation" in record.preprocessing
        trained = cost.train_images * int(record.recipe["epochs"])
        pair = (cost.train_seconds or 0.0) / trained, (cost.test_seconds or 0.0) / cost.test_images
        seen.setdefault(key, []).append(pair)
    return {key: _median(pairs, "records of runs") for key, pairs in seen.items()}


def measured_rates(runs: Sequence[Run], costs: Iterable[CostRecord], device: str) -> Rates:
    """From steps that `bench.py cost` measured on a device of that name, under the conditions of the runs."""
    speeds = {}
    for row in costs:
        asked, figures = row.conditions, row.figures
        if row.where.device == device and figures.train_images_per_second and figures.inference_images_per_second:
            conditions = asked.backbone, asked.method, asked.precision, asked.batch_size, asked.attention
            if not asked.checkpointing and asked.autograd == "current":
                speeds[conditions] = figures.train_images_per_second, figures.inference_images_per_second
    rates = {}
    for run in {key_of(run): run for run in runs}.values():
        recipe = run.recipe
        for backbone in (run.backbone.name, f"random:{run.backbone.architecture}"):  # time does not depend on weights
            found = speeds.get((backbone, str(run.resolved), recipe.precision, recipe.batch_size, recipe.attention))
            if found is not None:
                rates[key_of(run)] = Rate(stages_of(run) / found[0], 1 / found[1], "measured steps")
    return rates


def _estimate(run: Run, rate: Rate | None) -> Estimate | None:
    if rate is None:
        return None
    images = min(run.task.sizes["train"], steps_in_epoch(run.task.sizes["train"], run.recipe) * run.recipe.batch_size)
    return Estimate(images * run.recipe.epochs * rate.train + run.task.sizes["test"] * rate.test, rate.source)


def _median(pairs: Sequence[tuple[float, float]], source: str) -> Rate:
    steps, tests = zip(*pairs, strict=True)
    return Rate(statistics.median(steps), statistics.median(tests), source)


def _timed(run: Run, device: torch.device) -> Rate:
    """Nothing for what cannot run, or does not fit the device."""
    try:
        unloaded = dataclasses.replace(run, backbone=dataclasses.replace(run.backbone, weights=None))
        return Rate(*seconds_of_an_image(unloaded, device), "a step timed now")
    except Unsupported:
        return Rate(0.0, 0.0, "nothing, since they cannot run")
    except torch.OutOfMemoryError:
        return Rate(0.0, 0.0, "nothing, since they do not fit the device")
