"""How an image becomes pixels: decoding, resizing to a square, and the statistics it is normalised with.

`PRESETS` names what the code behind each published table does on VTAB-1k, where none augments, and on FGVC and
few-shot, where training images are augmented (datasets/transforms/augmentation.py).
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from datasets.transforms.augmentation import DTL, NOAH, VPT, Augmentation, transform_of

Statistics = tuple[float, float, float]
IMAGENET_MEAN: Statistics = (0.485, 0.456, 0.406)
IMAGENET_STD: Statistics = (0.229, 0.224, 0.225)
HALF: Statistics = (0.5, 0.5, 0.5)
ZERO: Statistics = (0.0, 0.0, 0.0)
ONE: Statistics = (1.0, 1.0, 1.0)
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
UNFILTERED = "bilinear_unfiltered"
RESIZES = ("squash", "squash_crop", "crop")
MARGIN = 256, 224  # what is resized to before the middle is cut out, for what is cut out
LOSSY = ("JPEG", "MPO")
ORIENTATION = 0x0112  # the EXIF tag that says how a picture is to be turned
PIXELS = 2  # raised whenever other pixels come of the same words; part of what features of images are kept under
DECODES = ("any", "png", "jpeg75")
RENDERINGS = ("stored", "viewed")


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every image; a mean or std of None is the checkpoint's own.

    `decode` is "any" (as the file is), "png" (refuse a lossy file) or "jpeg75" (pass a lossless image through JPEG, as
    the widespread export of VTAB-1k did). `resize` is "squash" (to a square, whatever the shape), "squash_crop" (to a
    larger square, and the middle of it) or "crop" (the shorter side to that length, and the middle square).
    `interpolation` is Pillow's, which averages when it shrinks, or "bilinear_unfiltered": between the four nearest
    pixels, as TensorFlow's default. That gives fractions there; here they are rounded to whole values.
    With an `augmentation`, training images are not resized like that but made anew in every epoch.
    `rendering` is "stored" (the pixels as Pillow opens them: only a TIFF is turned as its EXIF orientation says, and
    transparency is ignored, as in the sources of all presets) or "viewed" (as a viewer shows the file: upright, and
    what is transparent over white), which is how one's own folders are read.
    """

    name: str
    interpolation: Literal["bicubic", "bilinear", "bilinear_unfiltered"] = "bicubic"
    resize: Literal["squash", "squash_crop", "crop"] = "squash"
    mean: Statistics | None = None
    std: Statistics | None = None
    decode: Literal["any", "png", "jpeg75"] = "any"
    augmentation: Augmentation | None = None
    rendering: Literal["stored", "viewed"] = "stored"

    def __post_init__(self) -> None:
        for value, known in (
            (self.interpolation, (*FILTERS, UNFILTERED)),
            (self.resize, RESIZES),
            (self.decode, DECODES),
            (self.rendering, RENDERINGS),
        ):
            if value not in known:
                raise ValueError(f"preprocessing {self.name!r} asks for {value!r}; known: {', '.join(known)}")
        own = self.mean and self.std and self.resize != "squash" and self.interpolation in FILTERS
        if self.augmentation and not own:
            needs = "a mean and std of its own, a resize that cuts out, and one of Pillow's filters"
            raise ValueError(f"preprocessing {self.name!r} augments, for which it needs {needs}")

    def pixels(self, image: Image.Image, size: int) -> Tensor:
        """Give the image as uint8, 3 x size x size; an image of that size keeps its pixels."""
        return self.view(image, size).contiguous()

    def view(self, image: Image.Image, size: int) -> Tensor:
        """Give the same, with channels last in memory: for who copies it anyway."""
        colour = _coloured(image, self.decode, self.rendering)
        if self.resize != "squash":
            colour = _middle(self._larger(colour, size * MARGIN[0] // MARGIN[1]), size)
        else:
            colour = self._resized(colour, (size, size))
        return torch.from_numpy(np.array(colour)).permute(2, 0, 1)

    def augmented(self, image: Image.Image, size: int) -> Tensor:
        """Give the image as it is trained on once, uint8, 3 x size x size; draws from the global generators."""
        augmentation, mean, std = self.augmentation, self.mean, self.std
        if not (augmentation and mean and std):
            raise ValueError(f"preprocessing {self.name!r} does not augment")
        colour = _coloured(image, self.decode, self.rendering)
        if augmentation.crop == "random_crop":
            colour = self._larger(colour, size * MARGIN[0] // MARGIN[1])
        return transform_of(augmentation, self.interpolation, mean, std, size)(colour)

    def _larger(self, image: Image.Image, side: int) -> Image.Image:
        width, height = image.size
        shorter = min(image.size) if self.resize == "crop" else 0
        target = (side * width // shorter, side * height // shorter) if shorter else (side, side)
        return self._resized(image, target)

    def _resized(self, image: Image.Image, target: tuple[int, int]) -> Image.Image:
        if image.size == target:
            return image
        if self.interpolation == UNFILTERED:
            return _unfiltered(image, target)
        return image.resize(target, FILTERS[self.interpolation])


def _unfiltered(image: Image.Image, target: tuple[int, int]) -> Image.Image:
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    resized = functional.interpolate(pixels, target[::-1], mode="bilinear", align_corners=False, antialias=False)
    return Image.fromarray(resized[0].round().byte().permute(1, 2, 0).numpy())


def _middle(image: Image.Image, size: int) -> Image.Image:
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def _coloured(image: Image.Image, decode: str, rendering: str) -> Image.Image:
    colour = _decoded(image, decode, rendering)
    return colour if colour.mode == "RGB" else colour.convert("RGB")  # which would copy it


def _decoded(image: Image.Image, decode: str, rendering: str) -> Image.Image:
    lossy = image.format in LOSSY or image.info.get("compression") in ("jpeg", "webp")  # the latter inside a TIFF
    if decode == "png" and (lossy or image.format == "WEBP"):  # which may be lossy
        raise ValueError(f'wants lossless images but found {image.format}; use decode="any" to accept it')
    kept = decode != "jpeg75" or image.format in LOSSY
    image = _viewed(image) if rendering == "viewed" else image
    if kept:
        return image
    data = io.BytesIO()
    image.convert("RGB").save(data, "JPEG")  # the library's defaults, as in the export: quality 75, 4:2:0
    return Image.open(data)


def _viewed(image: Image.Image) -> Image.Image:
    """Turn an image upright and lay what is transparent over white."""
    try:
        turned = image.getexif().get(ORIENTATION, 1) != 1
        image = ImageOps.exif_transpose(image) if turned else image
    except Exception:  # damaged metadata raise nearly anything; the pixels are sound
        pass
    if not image.has_transparency_data:
        return image
    colour = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour)


_PRESETS = (
    Preprocessing("checkpoint"),
    Preprocessing("vpt", "bilinear_unfiltered", mean=IMAGENET_MEAN, std=IMAGENET_STD),
    Preprocessing("noah", mean=IMAGENET_MEAN, std=IMAGENET_STD, decode="jpeg75"),
    Preprocessing("noah_vpt", mean=HALF, std=HALF, decode="jpeg75"),
    Preprocessing("petl_vit", mean=IMAGENET_MEAN, std=IMAGENET_STD, decode="jpeg75"),
    Preprocessing("petl_vit_binary", mean=ZERO, std=ONE, decode="jpeg75"),
    Preprocessing("ssf", mean=HALF, std=HALF, decode="jpeg75"),
    Preprocessing("dtl", mean=HALF, std=HALF, decode="jpeg75"),
    Preprocessing("synqt", mean=IMAGENET_MEAN, std=IMAGENET_STD),
    Preprocessing("v_petl_bench", "bilinear", mean=IMAGENET_MEAN, std=IMAGENET_STD, decode="jpeg75"),
    Preprocessing("vpt_fgvc", "bilinear", "crop", mean=IMAGENET_MEAN, std=IMAGENET_STD, augmentation=VPT),
    Preprocessing("noah_few_shot", resize="squash_crop", mean=IMAGENET_MEAN, std=IMAGENET_STD, augmentation=NOAH),
    Preprocessing("dtl_few_shot", resize="squash_crop", mean=HALF, std=HALF, augmentation=DTL),
    Preprocessing("osu", mean=ZERO, std=ONE, decode="jpeg75"),
)
PRESETS: Mapping[str, Preprocessing] = MappingProxyType({preset.name: preset for preset in _PRESETS})
