"""How training images are changed anew in every epoch, and batches of them mixed: as data, done by libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor

__all__ = ["DTL", "NOAH", "VPT", "Augmentation", "Mixing", "transform_of"]

CROPS = ("random_crop", "random_resized_crop")
SCALE, RATIO = (0.08, 1.0), (3 / 4, 4 / 3)  # of a random resized crop: share of the area, width to height
Statistics = tuple[float, float, float]


@dataclass(frozen=True)
class Mixing:
    """A batch is mixed with itself in reverse order, by mixup or by CutMix with equal chance, and its labels with it.

    The two numbers are those of the beta distributions that shares are drawn from.
    """

    mixup: float
    cutmix: float
    label_smoothing: float

    @property
    def words(self) -> str:
        """As records and captions say it."""
        return f"mixup {self.mixup:g}, CutMix {self.cutmix:g}, label smoothing {self.label_smoothing:g}"


@dataclass(frozen=True)
class Augmentation:
    """Crop, then flip, then RandAugment in timm's words, then erasing, each image by itself; then a batch is mixed.

    `random_crop` cuts a square out of the image as it is resized for the test, `random_resized_crop` takes a part of
    the original of any size. RandAugment fills with the mean that images are normalised with, as in timm, and moves by
    up to 0.45 of a side (timm's set of growing strength; 100.8 of 224 pixels). Erased is a rectangle, by normal noise a
    pixel: the sources' default in timm, which they do not name.
    """

    crop: Literal["random_crop", "random_resized_crop"]
    flip: float = 0.5
    rand_augment: str | None = None
    erasing: float = 0.0
    mixing: Mixing | None = None

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"no crop {self.crop!r}; known: {', '.join(CROPS)}")

    @property
    def words(self) -> str:
        """All of it, in the order in which it is done, as records and captions say it."""
        steps = [self.crop.replace("_", " ")]
        steps += [f"flip {self.flip:g}"] if self.flip else []
        steps += [f"RandAugment {self.rand_augment}"] if self.rand_augment else []
        steps += [f"random erasing {self.erasing:g}"] if self.erasing else []
        steps += [self.mixing.words] if self.mixing else []
        return ", ".join(steps)


STRENGTH = "rand-m9-mstd0.5-inc1"
VPT = Augmentation("random_crop")  # docs/protocols.md, 9
DTL = Augmentation("random_resized_crop", rand_augment=STRENGTH)  # section 10, as the next
NOAH = Augmentation("random_resized_crop", rand_augment=STRENGTH, erasing=0.25, mixing=Mixing(0.8, 1.0, 0.1))


class _Erasing:
    """timm's, which is made for normalised images, on uint8 ones: the tails of its noise are cut off at 0 and 255."""

    def __init__(self, probability: float, mean: Statistics, std: Statistics) -> None:
        from timm.data.random_erasing import RandomErasing

        self._erase = RandomErasing(probability, mode="pixel", device="cpu")
        self._mean, self._std = (255 * torch.tensor(values).view(3, 1, 1) for values in (mean, std))

    def __call__(self, pixels: Tensor) -> Tensor:
        erased: Tensor = self._erase((pixels - self._mean) / self._std)
        return (erased * self._std + self._mean).round().clamp(0, 255).byte()


@cache
def transform_of(
    augmentation: Augmentation, interpolation: str, mean: Statistics, std: Statistics, size: int
) -> Callable[[Image.Image], Tensor]:
    """Give what makes uint8, 3 x size x size, of an image; it draws from the global generators.

    The libraries are imported here, since they take longer than anything that processes which only decode need.
    """
    from torchvision import transforms

    erasing = [_Erasing(augmentation.erasing, mean, std)] if augmentation.erasing else []
    if augmentation.crop == "random_crop":
        flip = transforms.RandomHorizontalFlip(augmentation.flip)
        return transforms.Compose([transforms.RandomCrop(size), flip, transforms.PILToTensor(), *erasing])
    from timm.data.auto_augment import posterize
    from timm.data.transforms_factory import create_transform

    crop, change, finish = create_transform(
        size,
        is_training=True,
        separate=True,
        scale=SCALE,
        ratio=RATIO,
        hflip=augmentation.flip,
        color_jitter=0.0,  # NOAH's 0.4 has no effect: timm leaves it out where RandAugment is on
        auto_augment=augmentation.rand_augment,
        interpolation=interpolation,
        mean=mean,
        normalize=False,
    )
    for op in change.transforms[0].ops if augmentation.rand_augment else ():
        if op.aug_fn is posterize:
            op.aug_fn = _posterize
    return transforms.Compose([crop, change, finish, *erasing])


def _posterize(image: Image.Image, bits: int, **fill: Any) -> Image.Image:
    """timm's; without a bit left an image is black, as when the sources ran: by now Pillow refuses that."""
    from timm.data.auto_augment import posterize

    return posterize(image, bits, **fill) if bits else Image.new(image.mode, image.size)
