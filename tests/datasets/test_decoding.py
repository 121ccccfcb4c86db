"""Images of every kind decode as torchvision's transforms would see them, or are refused with a sentence."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from datasets import PRESETS
from datasets.decoding import MOST_PIXELS, BadImage, decode, decoded
from datasets.inspection import inspect
from tests.datasets.fuzz import fuzz, originals
from tests.datasets.made import picture


def through(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


KINDS = [pytest.param(*file, id=f"{file[0]}-{number}") for number, file in enumerate(originals())]


@pytest.mark.parametrize(("kind", "data"), KINDS)
def test_every_kind_decodes_as_pillow_decodes_it(kind: str, data: bytes) -> None:
    image = decoded(data)
    assert image.format == kind
    theirs = Image.open(io.BytesIO(data)).convert("RGB").resize((16, 16), Image.Resampling.BICUBIC)
    assert torch.equal(PRESETS["synqt"].pixels(image, 16), pil_to_tensor(theirs))


def test_a_photograph_with_a_second_one_inside_is_its_first() -> None:
    first, second = picture(1), picture(2)
    image = decoded(through(first, "MPO", save_all=True, append_images=[second], quality=95))
    alone = decoded(through(first, "JPEG", quality=95))
    assert np.abs(np.asarray(image, int) - np.asarray(alone, int)).max() <= 2


GREY16 = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
FRAMES = [picture(seed) for seed in range(3)]
BAD = {
    "empty": (b"", "the file is empty"),
    "text": (b"no image", "is no image of a kind"),
    "16 bits": (through(GREY16, "PNG"), "more than 8 bits"),
    "32 bits": (through(Image.new("I", (4, 4), 70000), "TIFF"), "more than 8 bits"),
    "fractions": (through(Image.new("F", (4, 4), 0.5), "TIFF"), "more than 8 bits"),
    "GIF with frames": (through(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "is animated"),
    "PNG with frames": (through(FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:]), "is animated"),
    "WEBP with frames": (through(FRAMES[0], "WEBP", save_all=True, append_images=FRAMES[1:]), "is animated"),
    "pages": (through(FRAMES[0], "TIFF", save_all=True, append_images=FRAMES[1:]), "several pages"),
    "truncated PNG": (through(FRAMES[0], "PNG")[:-20], "cannot be decoded|ends too early"),
    "PNG without its end": (through(FRAMES[0], "PNG")[:-12], "ends too early"),
    "truncated JPEG": (through(FRAMES[0], "JPEG")[:-40], "the JPEG ends too early"),
    "JPEG without its end": (through(FRAMES[0], "JPEG")[:-2], "the JPEG ends too early"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image of a kind"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_has_no_meaning_is_refused_and_inspected_as_such(name: str, tmp_path: Path) -> None:
    data, says = BAD[name]
    with pytest.raises(BadImage, match=says):
        decoded(data)
    path = tmp_path / "a file.png"
    path.write_bytes(data)
    with pytest.raises(BadImage, match=r"a file\.png: "):
        decode(path)
    assert inspect(path).problem


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    side = int(MOST_PIXELS**0.5) + 1
    bomb = through(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 100_000
    with pytest.raises(BadImage, match=r"pixels are more than 80,000,000"):
        decoded(bomb)
    with pytest.raises(BadImage, match="cannot be decoded"):
        decoded(b"P6 90000 90000 255\n" + bytes(10))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="No such file"):
        decode(tmp_path / "gone.png")
    with pytest.raises(BadImage, match="Is a directory"):
        decode(tmp_path)


def test_the_export_is_recognised_and_other_jpegs_are_not(tmp_path: Path) -> None:
    files = {
        "export.jpg": through(picture(0), "JPEG"),
        "grey.jpg": through(picture(0).convert("L"), "JPEG"),
        "fine.jpg": through(picture(0), "JPEG", quality=90),
        "full.jpg": through(picture(0), "JPEG", subsampling=0),
        "lossless.png": through(picture(0), "PNG"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert [name for name in files if inspect(tmp_path / name).exported] == ["export.jpg", "grey.jpg"]


def test_damaged_files_are_refused_or_whole() -> None:
    outcomes = fuzz(200, seed=1)
    assert outcomes["refused"] > 50
    assert outcomes["list with problems"] > 10
