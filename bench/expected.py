"""How long a grid will take: from records of like runs where there are some, else from a timed step."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Iterable, Sequence

import torch

from bench.autocast import autocast
from bench.loss import loss_of
from bench.networks import build
from bench.run import Run
from bench.train import steps_in_epoch
from methods import Unsupported
from results import Record

__all__ = ["expected_seconds"]

SAMPLE = 4  # images in a timed step; enough to tell minutes from hours


def expected_seconds(runs: Sequence[Run], records: Iterable[Record], device: torch.device) -> float:
    """Seconds for all of `runs` on `device`, one after another; data loading and start-up are not in it."""
    rates = _rates(records, device)
    total = 0.0
    for run in runs:
        key = run.backbone.name, str(run.resolved), run.recipe.precision
        if key not in rates:
            rates[key] = _timed(run, device)
        step, test = rates[key]
        trained = steps_in_epoch(run.task.sizes["train"], run.recipe) * run.recipe.batch_size * run.recipe.epochs
        total += trained * step + run.task.sizes["test"] * test
    return total


Rates = dict[tuple[str, str, str], tuple[float, float]]  # seconds an image, in training and in testing


def _rates(records: Iterable[Record], device: torch.device) -> Rates:
    """Medians over the records that were made on the same kind of device."""
    seen: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for record in records:
        cost, made_on = record.cost, "cpu" if record.where.device.startswith("cpu") else "cuda"
        if record.status != "ok" or made_on != device.type or not (cost.train_images and cost.test_images):
            continue
        key = record.identity.backbone, str(record.identity.changes.get("method")), str(record.recipe.get("precision"))
        trained = cost.train_images * len(cost.epoch_seconds)
        seen.setdefault(key, []).append(
            ((cost.train_seconds or 0.0) / trained, (cost.test_seconds or 0.0) / cost.test_images)
        )
    return {key: _median(pairs) for key, pairs in seen.items()}


def _median(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    steps, tests = zip(*pairs, strict=True)
    return statistics.median(steps), statistics.median(tests)


def _timed(run: Run, device: torch.device) -> tuple[float, float]:
    """Seconds an image of a training step and of a forward pass, on random images; nothing for what cannot run."""
    try:
        unloaded = dataclasses.replace(run.backbone, weights=None)  # time does not depend on the weights
        network = build(unloaded, run.resolved, run.task.classes, run.recipe).to(device)
    except Unsupported:
        return 0.0, 0.0
    images = torch.rand(SAMPLE, 3, run.backbone.image_size, run.backbone.image_size, device=device)
    labels = torch.zeros(SAMPLE, dtype=torch.int64, device=device)

    def step() -> None:
        with autocast(device.type, run.recipe.precision):
            loss_of(network, network(images).float(), labels).backward()

    def test() -> None:
        with torch.inference_mode(), autocast(device.type, run.recipe.precision):
            network(images)

    return tuple(_seconds(part, device) / SAMPLE for part in (step, test))  # type: ignore[return-value]


def _seconds(part: object, device: torch.device) -> float:
    """The second of two calls, finished."""
    assert callable(part)
    part()
    _wait(device)
    started = time.perf_counter()
    part()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
