"""What a run trains on, and every batch of it, epoch after epoch."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from bench.data.batches import on_device, shuffled
from bench.data.loader import Augmented, LooseImages, Mix, start_server
from bench.data.splits import load, whole, without_bad
from bench.data.stored import Stored
from bench.run import Run
from bench.settings import RunSettings
from datasets.base import Split
from datasets.files.listing import Listing, Listings
from methods.recipe import Recipe

__all__ = ["Training", "passes", "steps_by_epoch", "steps_in_epoch", "training_split"]

Training = Split | Stored | Augmented


def training_split(run: Run, settings: RunSettings) -> tuple[Split | Augmented, int]:
    """Return what a run trains on, and how many images were left out since they are bad.

    All images are on the device, or made anew in every epoch where the preset augments them.
    """
    if run.preset.augmentation:
        return _augmented(run, settings)
    loaded = load(run, "train", settings.loader, in_memory=True)
    return on_device(whole(loaded.split), settings.device), loaded.skipped


def _augmented(run: Run, settings: RunSettings) -> tuple[Augmented, int]:
    preset, skipped = run.preset, 0
    originals: Listing | LooseImages
    if isinstance(run.task.source, Listings):
        originals = run.task.source("train")
        if settings.loader.on_bad_image == "skip":
            originals, skipped = without_bad(run.task, "train", settings.loader)
    else:
        originals = LooseImages(*zip(*run.task.examples("train"), strict=True))
    if settings.loader.processes:
        start_server("torchvision.transforms", "timm.data")  # else every worker imports what augments
    mixing = preset.augmentation and preset.augmentation.mixing
    mix = Mix(mixing, run.task.classes) if mixing else None
    labels = torch.tensor(originals.labels, device=settings.device)
    return Augmented(originals, labels, preset, run.backbone.image_size, settings.loader.processes, mix), skipped


def passes(split: Training, recipe: Recipe, seed: int) -> Generator[tuple[Any, Tensor], None, None]:
    """The batches of all epochs; what is drawn comes from the seed."""
    if isinstance(split, Augmented):
        steps = steps_in_epoch(len(split), recipe)
        yield from split.batches(recipe.epochs, steps, recipe.batch_size, seed)
        return
    order = torch.Generator().manual_seed(seed)
    for _ in range(recipe.epochs):
        if not recipe.reshuffle:
            order.manual_seed(seed)
        yield from shuffled(split, recipe.batch_size, recipe.drop_last, order)


def steps_in_epoch(images: int, recipe: Recipe) -> int:
    """Updates in one epoch."""
    if recipe.drop_last and images >= recipe.batch_size:
        return images // recipe.batch_size
    return -(-images // recipe.batch_size)


def steps_by_epoch(recipe: Recipe, steps: int) -> list[int]:
    """Updates of every epoch, of which a whole one has `steps`; none is left out unless the recipe counts updates."""
    left = range(recipe.steps or recipe.epochs * steps, 0, -steps)
    return [min(steps, rest) for rest in left[: recipe.epochs]]
