"""Resizing equals torchvision's to the pixel; decoding does what it says; the presets are those of the protocol."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, InterpolationMode, Resize
from torchvision.transforms.functional import pil_to_tensor

from datasets import PRESETS, Preprocessing

SOURCES = {
    "checkpoint",
    "vpt",
    "noah",
    "noah_vpt",
    "petl_vit",
    "petl_vit_binary",
    "ssf",
    "dtl",
    "synqt",
    "v_petl_bench",
    "osu",
    "vpt_fgvc",
    "noah_few_shot",
    "dtl_few_shot",
}


def picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise).convert(mode)


def through(image: Image.Image, file_format: str) -> Image.Image:
    data = io.BytesIO()
    image.save(data, file_format)
    return Image.open(data)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
@pytest.mark.parametrize("size", [32, 224])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_squash_equals_torchvision(interpolation: str, size: int, mode: str) -> None:
    image = picture(123, 77, mode)
    theirs = Resize((size, size), InterpolationMode(interpolation))(image.convert("RGB"))
    ours = Preprocessing("test", interpolation).pixels(image, size)  # type: ignore[arg-type]
    assert ours.is_contiguous()
    assert torch.equal(ours, pil_to_tensor(theirs))


@pytest.mark.parametrize("shape", [(123, 77), (300, 512), (256, 256), (40, 400)])
@pytest.mark.parametrize(("resize", "target"), [("crop", 256), ("squash_crop", (256, 256))])
def test_crops_equal_torchvision(resize: str, target: int | tuple[int, int], shape: tuple[int, int]) -> None:
    image = picture(*shape)
    theirs = CenterCrop(224)(Resize(target, InterpolationMode.BICUBIC)(image))
    ours = Preprocessing("test", resize=resize).pixels(image, 224)  # type: ignore[arg-type]
    assert torch.equal(ours, pil_to_tensor(theirs))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_an_image_of_the_right_size_keeps_its_pixels(interpolation: str) -> None:
    image = picture(32, 32)
    ours = Preprocessing("test", interpolation).pixels(image, 32)  # type: ignore[arg-type]
    assert torch.equal(ours, pil_to_tensor(image))


def test_jpeg75_loses_what_the_export_lost_and_only_once() -> None:
    image, preprocessing = picture(32, 32), Preprocessing("test", decode="jpeg75")
    exported = through(image, "JPEG")
    assert torch.equal(preprocessing.pixels(image, 32), pil_to_tensor(exported))
    assert torch.equal(preprocessing.pixels(exported, 32), pil_to_tensor(exported))
    assert not torch.equal(preprocessing.pixels(image, 32), pil_to_tensor(image))


def test_png_refuses_a_lossy_file() -> None:
    preprocessing = Preprocessing("test", decode="png")
    preprocessing.pixels(through(picture(8, 8), "PNG"), 8)
    with pytest.raises(ValueError, match="lossless"):
        preprocessing.pixels(through(picture(8, 8), "JPEG"), 8)


def test_an_unknown_choice_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nearest'; known: bicubic, bilinear"):
        Preprocessing("test", "nearest")  # type: ignore[arg-type]


def test_every_source_of_the_protocol_has_a_preset() -> None:
    assert set(PRESETS) == SOURCES
    assert all(name == preset.name for name, preset in PRESETS.items())
    assert all((preset.mean is None) == (preset.std is None) for preset in PRESETS.values())
    assert [name for name, preset in PRESETS.items() if preset.mean is None] == ["checkpoint"]


def test_presets_say_what_the_sources_do() -> None:
    assert {name for name, preset in PRESETS.items() if preset.interpolation == "bilinear"} == {
        "v_petl_bench",
        "vpt_fgvc",
    }
    assert {name for name, preset in PRESETS.items() if preset.mean == (0.5, 0.5, 0.5)} == {
        "noah_vpt",
        "ssf",
        "dtl",
        "dtl_few_shot",
    }
    assert {name for name, preset in PRESETS.items() if preset.mean == (0, 0, 0)} == {"petl_vit_binary", "osu"}
