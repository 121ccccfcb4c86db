"""`execute(run) -> Record`: load, build, train, test, count. The only way a run is done, wherever it is done."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from bench.caching import why_not
from bench.case import Case
from bench.compiled import compiled
from bench.data import Normaliser, on_device
from bench.execution import Execution
from bench.feed import Feed, store_for
from bench.keep import Keeper
from bench.measure import Peaks, training_peaks
from bench.networks import build, count, skeleton
from bench.plan import plan
from bench.provenance import where
from bench.recent import load
from bench.run import Run
from bench.splits import whole
from bench.streamed import Streamed
from bench.train import Diverged, Epoch, accuracy, train
from datasets.base import Split
from datasets.preprocessing import PRESETS
from methods import Method, Network, Unsupported
from methods.backbone import Backbone
from methods.recipe import Recipe
from results import Cost, Record, Score, Speedups

__all__ = ["execute"]

Watch = Callable[[Epoch], None]


@dataclass
class Trace:
    """What is observed while a run goes on, kept also when it ends early."""

    epochs: list[Epoch] = field(default_factory=list)
    evaluations: list[list[float]] = field(default_factory=list)
    test_seconds: float = 0.0
    peak_bytes: int | None = None
    reserved_bytes: int | None = None
    kept: dict[str, str] = field(default_factory=dict)
    skipped_images: dict[str, int] = field(default_factory=dict)
    feed: Feed | None = None


def execute(run: Run, how: Execution, watch: Watch = lambda _: None) -> Record:
    """Do the run and return its record. Out of memory, divergence and "unsupported" are results as well.

    Anything else that goes wrong is raised; nothing is written here but what `how.keep` asks for.
    """
    record = _attempt(run, how, watch)
    if record.status == "oom" and how.cache_features != "off" and (store_for(how).clear() or not why_not(run, how)):
        again = _attempt(run, dataclasses.replace(how, cache_features="off"), watch)  # what is kept may be in the way
        reason = dataclasses.replace(again.speedups, feature_cache_reason="memory ran out with them")
        return dataclasses.replace(again, speedups=reason)
    return record


def _attempt(run: Run, how: Execution, watch: Watch) -> Record:
    trace, device = Trace(), how.device
    _forget_peaks(device)
    try:
        cost = planned_cost(run.backbone, run.resolved, run.task.classes, run.recipe)
        _train_and_test(run, how, trace, watch)
        return _record(run, device, trace, cost, "ok", None)
    except Unsupported as error:
        return _record(run, device, trace, Cost(), "unsupported", str(error))
    except Diverged as error:
        return _record(run, device, trace, cost, "diverged", str(error))
    except torch.OutOfMemoryError as error:
        return _record(run, device, trace, cost, "oom", str(error).splitlines()[0])


@cache
def planned_cost(backbone: Backbone, method: Method, classes: int, recipe: Recipe) -> Cost:
    """Counts and the planned peak of a run's network, without its weights or any memory."""
    network = skeleton(backbone, method, classes, recipe)
    counts = dataclasses.asdict(count(network))
    peak = plan(network, backbone.image_size, recipe)
    return Cost(**counts, planned_peak_bytes=peak.total, planned_breakdown=peak.breakdown())


def _train_and_test(run: Run, how: Execution, trace: Trace, watch: Watch) -> None:
    """Train every stage to its last epoch; test the last one, and each in between where the recipe wants it."""
    device, normalise = how.device, _normaliser(run, how.device)
    keeper = Keeper(how.keep, run.backbone.weights is None)
    trace.feed = feed = Feed(run, how, normalise)
    train_split, test_split = _load(run, how, trace)
    torch.manual_seed(run.seed)
    network = build(run.backbone, run.resolved, run.task.classes, run.recipe).to(device)

    def after(epoch: Epoch) -> None:
        trace.epochs.append(epoch)
        _read_peaks(device, trace)
        every = run.recipe.evaluate_every
        if every and epoch.number % every == 0 and epoch.number < run.recipe.epochs:
            _test(run, network, feed, test_split, normalise, device, trace)
            _forget_peaks(device)
        watch(epoch)

    for network in run.resolved.stages(network):  # noqa: B020 - a stage is made of the one before it
        stage = feed.training(network, train_split)
        train(compiled(network, how.compile), stage, normalise, run.recipe, run.seed, after)
        keeper.after_stage(network)
    _test(run, network, feed, test_split, normalise, device, trace)
    trace.kept = keeper.write(run, network, test_split, normalise, device)


def _test(
    run: Run,
    network: Network,
    feed: Feed,
    split: Split | Streamed,
    normalise: Normaliser,
    device: torch.device,
    trace: Trace,
) -> None:
    """Test accuracy beside the number of epochs so far, those of earlier stages included."""
    started = time.perf_counter()
    value = accuracy(network, feed.testing(network, split), normalise, run.recipe, device, run.task.scored)
    trace.evaluations.append([float(len(trace.epochs)), value])
    trace.test_seconds = time.perf_counter() - started


def _forget_peaks(device: torch.device) -> None:
    """Start the allocator's peaks from what this run holds, without leftovers of earlier ones."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _read_peaks(device: torch.device, trace: Trace) -> None:
    """The allocator's peaks of training; evaluation in between does not count."""
    if device.type == "cuda":
        trace.peak_bytes = max(trace.peak_bytes or 0, torch.cuda.max_memory_allocated(device))
        trace.reserved_bytes = max(trace.reserved_bytes or 0, torch.cuda.max_memory_reserved(device))


def _load(run: Run, how: Execution, trace: Trace) -> tuple[Split, Split | Streamed]:
    """The training split on the device, and the test split."""
    train_split, test_split = load(run, "train", how.reading, in_memory=True), load(run, "test", how.reading)
    found = {"train": train_split.skipped, "test": test_split.skipped}
    trace.skipped_images = {name: count for name, count in found.items() if count}
    return on_device(whole(train_split.split), how.device), test_split.split


def _normaliser(run: Run, device: torch.device) -> Normaliser:
    return Normaliser.of(*_statistics(run), device)


def _statistics(run: Run) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The preset's mean and standard deviation, or the checkpoint's own."""
    preset = PRESETS[run.recipe.preprocessing]
    mean, std = run.backbone.statistics
    return preset.mean or mean, preset.std or std


def _described(run: Run) -> dict[str, Any]:
    """The preset in full, so that a record says what was done to its images."""
    mean, std = _statistics(run)
    preset = dataclasses.asdict(PRESETS[run.recipe.preprocessing])
    return preset | {"mean": list(mean), "std": list(std), "image_size": run.backbone.image_size}


def _record(run: Run, device: torch.device, trace: Trace, cost: Cost, status: str, reason: str | None) -> Record:
    stage = len(trace.epochs) - run.recipe.epochs  # the last one begins after so many; earlier ones do not count
    accuracies = [value for epoch, value in trace.evaluations if epoch > stage]
    finished = status == "ok"
    score = Score(
        test_accuracy=accuracies[-1] if finished else None,
        best_test_accuracy=max(accuracies) if finished and run.recipe.evaluate_every else None,
        evaluations=trace.evaluations,
        train_losses=[epoch.loss for epoch in trace.epochs],
        train_accuracies=[epoch.accuracy for epoch in trace.epochs],
        skipped_images=trace.skipped_images,
    )
    return Record(
        identity=run.identity(),
        group=run.task.group,
        classes=run.task.classes,
        method=run.settings(),
        recipe=dataclasses.asdict(run.recipe),
        status=status,  # type: ignore[arg-type]
        score=score,
        cost=_observed(run, device, trace, cost),
        where=where(device),
        reason=reason,
        place=run.place,
        kept=trace.kept if finished else {},
        preprocessing=_described(run),
        speedups=trace.feed.speedups(trace.peak_bytes) if trace.feed else Speedups(),
    )


def _observed(run: Run, device: torch.device, trace: Trace, cost: Cost) -> Cost:
    """The planned cost with what the run itself showed; its peaks are not the method's own where features are kept."""
    seconds = [epoch.seconds for epoch in trace.epochs]
    peaks = Peaks(trace.peak_bytes, trace.reserved_bytes)
    if trace.feed is not None and trace.feed.cached:
        peaks = training_peaks(Case(run.backbone, run.resolved, run.task.classes, run.recipe), device)
    return dataclasses.replace(
        cost,
        peak_bytes=peaks.allocated,
        reserved_bytes=peaks.reserved,
        epoch_seconds=seconds,
        train_seconds=sum(seconds) if seconds else None,
        test_seconds=trace.test_seconds if trace.evaluations else None,
        train_images=run.task.sizes["train"] - trace.skipped_images.get("train", 0),
        test_images=run.task.sizes["test"] - trace.skipped_images.get("test", 0),
    )
