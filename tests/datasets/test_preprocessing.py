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


@pytest.mark.parametrize("width", [448, 100])
def test_unfiltered_takes_the_nearest_four_pixels_only(width: int) -> None:
    """By hand, as TensorFlow 2 places half-pixel centres; Pillow averages over more when it shrinks."""
    image, size = picture(width, 77), 24
    pixels = np.asarray(image, float)
    expected = np.empty((size, size, 3))
    for row in range(size):
        for column in range(size):
            y, x = ((place + 0.5) * old / size - 0.5 for place, old in ((row, 77), (column, width)))
            top, left, down, right = int(y), int(x), y - int(y), x - int(x)
            four = pixels[top : top + 2, left : left + 2]
            upper, lower = (line[0] * (1 - right) + line[1] * right for line in four)
            expected[row, column] = upper * (1 - down) + lower * down
    ours = PRESETS["vpt"].pixels(image, size).permute(1, 2, 0).numpy()
    assert np.abs(ours - expected).max() <= 0.501
    filtered = PRESETS["v_petl_bench"].pixels(image, size).permute(1, 2, 0).numpy()
    assert np.abs(filtered - expected).max() > 20


def test_what_is_cut_out_of_a_larger_input_is_as_in_the_source() -> None:
    """int(384 * 256 / 224) is 438."""
    image = picture(500, 400)
    theirs = CenterCrop(384)(Resize((438, 438), InterpolationMode.BICUBIC)(image))
    assert torch.equal(Preprocessing("test", resize="squash_crop").pixels(image, 384), pil_to_tensor(theirs))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "bilinear_unfiltered"])
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
    two = {"save_all": True, "append_images": [picture(8, 8)]}
    for lossy, options in {"JPEG": {}, "MPO": two, "WEBP": {}, "TIFF": {"compression": "jpeg"}}.items():
        data = io.BytesIO()
        picture(8, 8).save(data, lossy, **options)
        with pytest.raises(ValueError, match=f"lossless images but found {lossy}"):
            preprocessing.pixels(Image.open(data), 8)


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


VIEWED = Preprocessing("test", rendering="viewed")
HALVES = Image.new("RGB", (16, 16), "black")
HALVES.paste((255, 255, 255), (0, 0, 16, 8))


def turned(file_format: str, orientation: int) -> Image.Image:
    """White above black, to be turned as the EXIF tag says."""
    exif, data = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    HALVES.save(data, file_format, exif=exif if file_format == "TIFF" else exif.tobytes())
    return Image.open(data)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize(("orientation", "rows"), [(1, [1, 0]), (3, [0, 1]), (0, [1, 0]), (9, [1, 0])])
def test_a_viewed_picture_is_upright_in_every_format(file_format: str, orientation: int, rows: list[int]) -> None:
    pixels = VIEWED.pixels(turned(file_format, orientation), 16)
    assert [int(pixels[0, row].float().mean() > 128) for row in (3, 12)] == rows


@pytest.mark.parametrize("decode", ["any", "jpeg75"])
def test_only_what_is_viewed_is_turned_and_laid_over_white(decode: str) -> None:
    stored = Preprocessing("test", decode=decode)  # type: ignore[arg-type]
    viewed = Preprocessing("test", decode=decode, rendering="viewed")  # type: ignore[arg-type]
    assert [int(how.pixels(turned("PNG", 3), 16)[0, 3, 3]) > 128 for how in (stored, viewed)] == [True, False]
    clear = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
    assert [int(how.pixels(clear, 16)[0, 3, 3]) > 128 for how in (stored, viewed)] == [False, True]


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_what_is_not_transparent_keeps_its_pixels(mode: str) -> None:
    image = picture(16, 16).convert("L" if mode == "LA" else "RGB").convert(mode)
    assert torch.equal(VIEWED.pixels(image, 16), Preprocessing("test").pixels(image, 16))


def test_damaged_exif_data_say_nothing() -> None:
    data = io.BytesIO()
    HALVES.save(data, "PNG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff no directory")
    assert torch.equal(VIEWED.pixels(Image.open(data), 16), Preprocessing("test").pixels(HALVES, 16))
