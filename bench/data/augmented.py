"""A training split whose images are augmented anew in every epoch, by other processes, ahead of the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from bench.data.batches import sent
from bench.data.mixing import Mix
from bench.data.seeded import IMAGE, order_of, seeded
from bench.data.slots import filled
from bench.data.splits import without_bad
from bench.run import Run
from bench.settings import Execution
from datasets.files.listing import Listing, Listings
from datasets.transforms.preprocessing import Preprocessing

__all__ = ["Augmented", "Loose", "augmented"]

PIECE = 8  # images of a batch that a process makes at a time: few, so that all processes are at the next batch


@dataclass(frozen=True, eq=False)
class Loose:
    """Images of a suite that draws its own, in memory as they are; read like a Listing."""

    images: tuple[Image.Image, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)

    def augmented(self, index: int, preprocessing: Preprocessing, size: int) -> Tensor:
        """Give one image as it is trained on once, drawing from the global generators."""
        return preprocessing.augmented(self.images[index], size)


@dataclass(frozen=True)
class Drawing:
    """What is drawn for each batch of a training; sent to the processes that draw."""

    originals: Listing | Loose
    preprocessing: Preprocessing
    size: int
    batch_size: int
    steps: int  # in an epoch
    seed: int
    together: int  # images of a piece

    def chosen(self, batch: int) -> NDArray[np.int64]:
        """The images of a batch, by their places in the split."""
        epoch, step = divmod(batch, self.steps)
        return order_of(len(self.originals), self.seed, epoch)[step * self.batch_size : (step + 1) * self.batch_size]

    def __call__(self, batch: int, piece: int, room: Tensor) -> None:
        """Make a piece of a batch. Random numbers depend on the seed, the epoch and the image alone."""
        first = piece * self.together
        for place, index in enumerate(self.chosen(batch)[first : first + self.together].tolist(), start=first):
            with seeded(IMAGE, self.seed, batch // self.steps, index):
                room[place] = self.originals.augmented(index, self.preprocessing, self.size)


@dataclass(frozen=True, eq=False)
class Augmented:
    """Stands where a `Split` to train on does; its images are made when they are asked for."""

    originals: Listing | Loose
    labels: Tensor  # on the device
    preprocessing: Preprocessing
    size: int
    workers: int
    mix: Mix | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, epochs: int, steps: int, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of all epochs, on the device: images and labels, or mixed images and shares of classes.

        One epoch follows the other without a pause: the processes are at the next one while the last is tested. On a
        CPU images that are not mixed are there until the next are asked for. Raises BadImage.
        """
        most, device = min(batch_size, len(self)), self.labels.device
        drawing = Drawing(self.originals, self.preprocessing, self.size, batch_size, steps, seed, PIECE)
        labels = torch.tensor(self.originals.labels)
        shape = most, 3, self.size, self.size
        parts = filled(drawing, epochs * steps, -(-most // PIECE), shape, self.workers, [__name__])
        for batch, images in enumerate(parts):
            chosen = torch.from_numpy(drawing.chosen(batch))
            pair = sent(images[: len(chosen)], device), sent(labels[chosen], device)
            yield pair if self.mix is None else self.mix(*pair, seed, batch)


def augmented(run: Run, how: Execution) -> tuple[Augmented, int]:
    """The training split of a run whose preset augments, and how many images were left out since they are bad."""
    preset, skipped = run.preset, 0
    originals: Listing | Loose
    if isinstance(run.task.source, Listings):
        originals = run.task.source("train")
        if how.reading.on_bad_image == "skip":
            originals, skipped = without_bad(run.task, "train", how.reading)
    else:
        originals = Loose(*zip(*run.task.examples("train"), strict=True))
    mixing = preset.augmentation and preset.augmentation.mixing
    mix = Mix(mixing, run.task.classes) if mixing else None
    labels = torch.tensor(originals.labels, device=how.device)
    return Augmented(originals, labels, preset, run.backbone.image_size, how.reading.processes, mix), skipped
