"""From a task's images to batches on the device: what a run trains on, epoch after epoch, and what it is tested on.

The training split is on the device once, or made anew in every epoch; the test split goes there batch by batch. Frozen
states that were computed before take the place of the images.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.data.loader import TEST_BATCH, Augmented, LooseImages, Mix, Streamed, sent, start_server
from bench.data.splits import load, whole, without_bad
from bench.run import Run
from bench.settings import RunSettings
from datasets.base import Split
from datasets.files.listing import Listing, Listings
from datasets.transforms.preprocessing import PRESETS
from methods.backbones.registry import Backbone
from methods.recipe import Recipe
from methods.states import IMAGES

__all__ = [
    "Normaliser", "Rows", "Stored", "Training", "batches", "on_device", "passes", "picked", "shuffled", "statistics_of",
    "steps_by_epoch", "steps_in_epoch", "training_split",
]  # fmt: skip

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Normaliser:
    """Turns uint8 images into what the backbone reads: ((x / 255) - mean) / std per channel, in float32."""

    scale: Tensor  # 1×3×1×1
    shift: Tensor

    @classmethod
    def of(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Normaliser:
        """Make it from the statistics of inputs in [0, 1]."""
        deviation, centre = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in (std, mean))
        return cls(1 / (255 * deviation), -centre / deviation)

    def __call__(self, images: Tensor) -> Tensor:
        return torch.addcmul(self.shift, images.float(), self.scale)


def statistics_of(preprocessing: str, backbone: Backbone) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation that images are normalised with: the preset's, or the checkpoint's own."""
    preset = PRESETS[preprocessing]
    if preset.mean and preset.std:
        return preset.mean, preset.std
    mean, std = backbone.statistics
    return preset.mean or mean, preset.std or std


@dataclass(frozen=True, eq=False)
class Rows:
    """States of all images by name, wherever they are kept; indexing gives those of some images on `target`."""

    states: Mapping[str, Tensor]
    target: torch.device
    pixels: Tensor | None = None  # where the images themselves are among the states
    normalise: Normaliser | None = None

    @property
    def device(self) -> torch.device:
        """Where indices are wanted: beside the states, so that nobody waits for them."""
        return CPU if any(state.device == CPU for state in self.states.values()) else self.target

    def __getitem__(self, chosen: Tensor | slice) -> dict[str, Tensor]:
        rows = {name: self._fetch(state, chosen) for name, state in self.states.items()}
        if self.pixels is not None and self.normalise is not None:
            rows[IMAGES] = self.normalise(self._fetch(self.pixels, chosen))
        return rows

    def _fetch(self, state: Tensor, chosen: Tensor | slice) -> Tensor:
        return sent(state[chosen if isinstance(chosen, slice) else sent(chosen, state.device)], self.target)


@dataclass(frozen=True, eq=False)
class Stored:
    """Rows and labels (int64, N, on the device); stands where a `Split` does."""

    images: Rows
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, batch_size: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Yield the split in order, a batch at a time."""
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self.images[part], self.labels[part]


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
    """Yield the batches of all epochs; what is drawn comes from the seed."""
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


def on_device(split: Split, device: torch.device) -> Split:
    """Return the whole split on the device that trains."""
    return Split(split.images.to(device), split.labels.to(device))


def shuffled(split: Any, batch_size: int, drop_last: bool, order: torch.Generator) -> Iterator[tuple[Any, Tensor]]:
    """Yield one epoch over a split that is on the device, or over its states (`Stored`), as the split has them.

    The order comes from the generator, so from the run's seed.
    """
    total = len(split.labels)
    indices = torch.randperm(total, generator=order)
    rows, labels = indices.to(split.images.device), indices.to(split.labels.device)
    end = total - total % batch_size if drop_last and total >= batch_size else total
    for start in range(0, end, batch_size):
        part = slice(start, min(start + batch_size, end))
        yield split.images[rows[part]], split.labels[labels[part]]


def picked(split: Split | Streamed, indices: list[int]) -> Split:
    """Some of the images, in the memory of the host."""
    return split.picked(indices) if isinstance(split, Streamed) else Split(split.images[indices], split.labels[indices])


def batches(split: Split | Streamed, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the split in order, a batch at a time, so that it takes no memory of the device."""
    if isinstance(split, Streamed):
        parts = split.batches(pinned=device.type == "cuda")
    else:
        parts = zip(split.images.split(TEST_BATCH), split.labels.split(TEST_BATCH), strict=True)
    for images, labels in parts:
        yield sent(images, device), sent(labels, device)
