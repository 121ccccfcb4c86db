"""The record of a run, made of what was observed while it went on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.cost.case import Case
from bench.cost.energy import EnergyMeter
from bench.cost.measure import Peaks, training_peaks
from bench.data.batches import statistics_of
from bench.features.reader import Feed
from bench.provenance import last_parts, where
from bench.run import Run
from bench.source_digest import method_digest
from bench.train.compile import Compiler
from bench.train.loop import Epoch
from datasets.files.listing import Listings
from methods.backbones.registry import EMBEDDED
from results import Cost, Record, Score, Speedups, Where
from results.record import Status

__all__ = ["Trace", "described", "recorded"]


@dataclass
class Trace:
    """What is observed while a run goes on, kept also when it ends early."""

    device: torch.device
    cost: Cost = field(default_factory=Cost)  # as planned
    epochs: list[Epoch] = field(default_factory=list)
    evaluations: list[list[float]] = field(default_factory=list)
    score: Score = field(default_factory=Score)  # what the last evaluation gave beside its accuracy
    test_seconds: float = 0.0
    peak_bytes: int | None = None
    reserved_bytes: int | None = None
    kept_files: dict[str, str] = field(default_factory=dict)
    skipped_images: dict[str, int] = field(default_factory=dict)
    images: dict[str, int] = field(default_factory=dict)  # by split, once they are loaded
    feed: Feed | None = None
    compiler: Compiler | None = None
    energy: EnergyMeter | None = None


def recorded(run: Run, trace: Trace, status: Status, reason: str | None = None) -> Record:
    """Make the record of a run that ends now."""
    finished = status == "ok"
    return Record(
        identity=run.identity(),
        group=run.task.group,
        classes=run.task.classes,
        method=run.settings(),
        recipe=dataclasses.asdict(run.recipe),
        status=status,
        score=_score(run, trace, finished),
        cost=_observed(run, trace, status),
        where=_where(run, trace.device),
        reason=reason,
        place=run.task_order,
        kept=trace.kept_files if finished else {},
        preprocessing=described(run),
        speedups=_speedups(trace),
        class_names=list(run.task.names),
        method_code=method_digest(run.method.name),
        understood=run.task.understood,
    )


def _where(run: Run, device: torch.device) -> Where:
    """Provenance, with what tells one's own folder and weight file from others of the same name."""
    source, weights = run.task.source, run.backbone.weights
    folder = last_parts(source("train").folder.resolve()) if run.task.viewed and isinstance(source, Listings) else None
    file = last_parts(weights) if isinstance(weights, Path) and weights != EMBEDDED else None
    return dataclasses.replace(where(device), folder=folder, weights=file)


def _score(run: Run, trace: Trace, finished: bool) -> Score:
    stage = len(trace.epochs) - run.recipe.epochs  # the last one begins after so many; earlier ones do not count
    accuracies = [value for epoch, value in trace.evaluations if epoch > stage]
    return dataclasses.replace(
        trace.score if finished else Score(),
        test_accuracy=accuracies[-1] if finished else None,
        best_test_accuracy=max(accuracies) if finished and run.recipe.evaluate_every else None,
        evaluations=trace.evaluations,
        train_losses=[epoch.loss for epoch in trace.epochs],
        train_accuracies=[epoch.accuracy for epoch in trace.epochs],
        skipped_images=trace.skipped_images,
    )


def _observed(run: Run, trace: Trace, status: Status) -> Cost:
    """Add to the planned cost what the run showed; its peaks are not the method's own if features are kept."""
    seconds = [epoch.seconds for epoch in trace.epochs]
    peaks = Peaks(trace.peak_bytes, trace.reserved_bytes)
    if trace.feed is not None and trace.feed.cached:
        case = Case(run.backbone, run.resolved, run.task.classes, run.recipe)
        peaks = training_peaks(case, trace.device) if status != "oom" else Peaks()  # what ran out still holds memory
    return dataclasses.replace(
        trace.cost,
        peak_bytes=peaks.allocated,
        reserved_bytes=peaks.reserved,
        epoch_seconds=seconds,
        train_seconds=sum(seconds) if seconds else None,
        train_joules=trace.energy.total if trace.energy else None,
        test_seconds=trace.test_seconds if trace.evaluations else None,
        train_images=trace.images.get("train", run.task.sizes["train"]),
        test_images=trace.images.get("test", run.task.sizes["test"]),
    )


def _speedups(trace: Trace) -> Speedups:
    found = trace.feed.speedups(trace.peak_bytes) if trace.feed else Speedups()
    return dataclasses.replace(found, compiled=trace.compiler.word if trace.compiler else None)


def described(run: Run) -> dict[str, Any]:
    """Return the preset in full, so that a record says what was done to its images."""
    mean, std = statistics_of(run.recipe.preprocessing, run.backbone)
    preset = run.preset
    values = dataclasses.asdict(preset) | {"mean": list(mean), "std": list(std), "image_size": run.backbone.image_size}
    del (
        values["augmentation"],
        values["rendering"],
    )  # at their defaults, as in records of before: they stand in one line
    said = {"augmentation": preset.augmentation.words} if preset.augmentation else {}
    return values | said | ({"rendering": preset.rendering} if preset.rendering != "stored" else {})
