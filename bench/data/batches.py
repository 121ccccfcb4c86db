"""A task's images where they are needed: the training split on the device once, the test split batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.data.loader import TEST_BATCH, Streamed, sent
from datasets.base import Split
from datasets.transforms.preprocessing import PRESETS
from methods.backbones.registry import Backbone

__all__ = ["Normaliser", "batches", "on_device", "picked", "shuffled", "statistics_of"]


@dataclass(frozen=True)
class Normaliser:
    """Turns uint8 images into what the backbone reads: ((x / 255) - mean) / std per channel, in float32."""

    scale: Tensor  # 1×3×1×1
    shift: Tensor

    @classmethod
    def of(cls, mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Normaliser:
        """From the statistics of inputs in [0, 1]."""
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


def on_device(split: Split, device: torch.device) -> Split:
    """The whole split where it is trained on."""
    return Split(split.images.to(device), split.labels.to(device))


def shuffled(split: Any, batch_size: int, drop_last: bool, order: torch.Generator) -> Iterator[tuple[Any, Tensor]]:
    """One epoch over a split that is on the device, or over its states (bench/data/stored.py), as the split has them.

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
    """The split in order, a batch at a time, so that it takes no memory of the device."""
    if isinstance(split, Streamed):
        parts = split.batches(pinned=device.type == "cuda")
    else:
        parts = zip(split.images.split(TEST_BATCH), split.labels.split(TEST_BATCH), strict=True)
    for images, labels in parts:
        yield sent(images, device), sent(labels, device)
