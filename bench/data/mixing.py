"""A batch mixed with itself, images and labels, by timm's mixup and CutMix."""

from __future__ import annotations

import torch
from timm.data.mixup import Mixup, mixup_target
from torch import Tensor

from bench.data.seeded import BATCH, seeded
from datasets.transforms.augmentation import Mixing

__all__ = ["Mix"]


class Mix:
    """From images (uint8) and labels to mixed images (float, 0 to 255) and the share of every class in each.

    Sources mix images that are normalised, which is the same: normalising is linear and shares add up to one. timm
    mixes an even number of images; of an odd batch, one alone has its label smoothed only.
    """

    def __init__(self, how: Mixing, classes: int) -> None:
        self._smoothing, self._classes = how.label_smoothing, classes
        self._mixup = Mixup(how.mixup, how.cutmix, label_smoothing=how.label_smoothing, num_classes=classes)

    def __call__(self, images: Tensor, labels: Tensor, *key: int) -> tuple[Tensor, Tensor]:
        mixed, even = images.float(), len(images) - len(images) % 2
        with seeded(BATCH, *key):
            _, shares = self._mixup(mixed[:even], labels[:even])  # mixes in place
        alone = mixup_target(labels[even:], self._classes, smoothing=self._smoothing)
        return mixed, torch.cat([shares, alone])
