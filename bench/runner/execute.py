"""`execute(run) -> Record`: load, build, train, test, count. The only way a run is done, wherever it is done."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Callable
from functools import cache

import torch

from bench.cost.energy import EnergyMeter
from bench.cost.plan import plan
from bench.data.batches import Normaliser, statistics_of, training_split
from bench.data.loader import Augmented, Streamed
from bench.data.splits import load
from bench.features.reader import Feed, store_for
from bench.run import Run
from bench.runner.artifacts import Keeper
from bench.runner.record import Trace, recorded
from bench.settings import RunSettings
from bench.train.compile import Compiler
from bench.train.evaluate import Answers, Scoring, evaluate, score_of, temperature_of
from bench.train.loop import Diverged, Epoch, train
from bench.train.network import build, build_on_meta, count
from datasets.base import Split
from datasets.validation import for_calibration
from methods import Method, Network, Unsupported
from methods.backbones.registry import Backbone
from methods.recipe import Recipe
from results import Cost, Record

__all__ = ["Pruned", "execute"]

Watch = Callable[[Epoch], None]


class Pruned(Exception):
    """The run was ended early, by `settings.early_stop`; the message says when and at what accuracy."""


def execute(run: Run, settings: RunSettings, watch: Watch = lambda _: None) -> Record:
    """Do the run and return its record. Out of memory, divergence and "unsupported" are results as well.

    Anything else that goes wrong is raised, and Pruned where the run is not worth its remaining epochs. Nothing is
    written here but what `settings.keep` asks for.
    """
    record = _once(run, settings, watch)
    reason = record.speedups.feature_cache_reason
    if (
        record.status != "oom"
        or settings.cache_features == "off"
        or not (store_for(settings).clear() or reason is None)
    ):
        return record
    again = _once(run, dataclasses.replace(settings, cache_features="off"), watch)  # what is kept may be in the way
    about = dataclasses.replace(again.speedups, feature_cache_reason=reason or "memory ran out with them")
    return dataclasses.replace(again, speedups=about)


def _once(run: Run, settings: RunSettings, watch: Watch) -> Record:
    """Train every stage to its last epoch; test the last one, and each in between where the recipe wants it.

    All that takes memory belongs to this call, so that none of it is left when the run is done again.
    """
    trace, device = Trace(settings.device), settings.device
    _forget_peaks(device)
    try:
        largest = min(run.recipe.batch_size, run.task.sizes["train"])  # no batch has more images than there are
        recipe = dataclasses.replace(run.recipe, batch_size=largest)
        trace.cost = planned_cost(run.backbone, run.resolved, run.task.classes, recipe)
        normalise = Normaliser.of(*statistics_of(run.recipe.preprocessing, run.backbone), device)
        scoring = Scoring(normalise, run.recipe.precision, device, run.task.scored)
        trace.compiler = compiler = Compiler(settings.compile)
        trace.energy = energy = EnergyMeter(device)
        trace.feed = feed = Feed(run, settings, normalise)
        keeper = Keeper(settings.keep, run.backbone.weights is None)
        train_split, test_split = _load(run, settings, trace)
        torch.manual_seed(run.seed)
        network = build(run.backbone, run.resolved, run.task.classes, run.recipe).to(device)

        def test(temperature: float | None = None) -> Answers:
            started = time.perf_counter()
            answers = evaluate(network, feed.testing(network, test_split), scoring, temperature)
            trace.evaluations.append([float(len(trace.epochs)), answers.accuracy()])
            trace.test_seconds = time.perf_counter() - started
            return answers

        def after(epoch: Epoch) -> None:
            energy.stop()
            trace.epochs.append(epoch)
            _read_peaks(trace)
            watch(dataclasses.replace(epoch, of_run=len(trace.epochs)))
            every = run.recipe.evaluate_every
            if every and epoch.number % every == 0 and epoch.number < run.recipe.epochs:
                test()
                _forget_peaks(device)
                _stop_early(run, settings, trace)
            energy.start()

        for network in run.resolved.stages(network):  # noqa: B020 - a stage is made of the one before it
            stage = feed.training(network, train_split)
            compiled = compiler.compiled(network)
            _forget_peaks(device)  # those of computing features are not those of training
            energy.start()
            train(compiled, stage, normalise, run.recipe, run.seed, after)
            keeper.after_stage(network)
        answers = test(_temperature(run, network, scoring, settings))
        trace.score = score_of(answers)
        trace.kept_files = keeper.write(run, network, test_split, scoring, answers)
        return recorded(run, trace, "ok")
    except Unsupported as error:
        trace.cost = Cost()
        return recorded(run, trace, "unsupported", str(error))
    except Diverged as error:
        return recorded(run, trace, "diverged", str(error))
    except torch.OutOfMemoryError as error:
        return recorded(run, trace, "oom", str(error).splitlines()[0])


@cache
def planned_cost(backbone: Backbone, method: Method, classes: int, recipe: Recipe) -> Cost:
    """Counts and the planned peak of a run's network, without its weights or any memory."""
    network = build_on_meta(backbone, method, classes, recipe)
    counts = dataclasses.asdict(count(network))
    peak = plan(network, backbone.image_size, recipe)
    return Cost(**counts, planned_peak_bytes=peak.total, planned_breakdown=peak.breakdown())


def _temperature(run: Run, network: Network, scoring: Scoring, settings: RunSettings) -> float | None:
    """Choose the temperature on validation images; None where there are none that can be read."""
    task = for_calibration(run.task)
    if task is None:
        return None
    try:
        split = load(dataclasses.replace(run, task=task), "val", settings.loader).split
        return temperature_of(network, split, scoring)
    except (ValueError, OSError):  # no image that can be decoded, or none of a class: the run needs none of them
        return None


def _stop_early(run: Run, settings: RunSettings, trace: Trace) -> None:
    """Raise Pruned if the run is not worth its remaining epochs."""
    epochs, accuracy = trace.evaluations[-1]
    if settings.early_stop is not None and settings.early_stop.ends(run, int(epochs), accuracy):
        raise Pruned(f"ended after epoch {epochs:g} at {accuracy:.1%}, below the median of the trials before it")


def _forget_peaks(device: torch.device) -> None:
    """Start the allocator's peaks from what this run holds, without leftovers of earlier ones."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _read_peaks(trace: Trace) -> None:
    """Note the allocator's peaks of training; tests in between do not count, nor what is kept for other runs."""
    device = trace.device
    if device.type == "cuda":
        others = trace.feed.bytes_of_others if trace.feed else 0
        trace.peak_bytes = max(trace.peak_bytes or 0, torch.cuda.max_memory_allocated(device) - others)
        trace.reserved_bytes = max(trace.reserved_bytes or 0, torch.cuda.max_memory_reserved(device))


def _load(run: Run, settings: RunSettings, trace: Trace) -> tuple[Split | Augmented, Split | Streamed]:
    """Load what is trained on, and the test split."""
    (train_split, skipped), test_split = training_split(run, settings), load(run, "test", settings.loader)
    found = {"train": skipped, "test": test_split.skipped}
    trace.skipped_images = {name: count for name, count in found.items() if count}
    trace.images = {"train": len(train_split), "test": len(test_split.split)}
    return train_split, test_split.split
