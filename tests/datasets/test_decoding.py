"""Images of every kind decode as torchvision's transforms would see them, or are refused with a sentence."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import pil_to_tensor

from datasets import PRESETS
from datasets.files.inspection import inspect
from datasets.transforms.decoding import MOST_PIXELS, BadImage, decode, decoded
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


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def deep_png(colour: int, channels: int) -> bytes:
    header = struct.pack(">IIBBBBB", 8, 8, 16, colour, 0, 0, 0)
    pixels = zlib.compress((b"\0" + bytes(8 * 2 * channels)) * 8)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def deep_tiff() -> bytes:
    """Three channels of 16 bits, uncompressed, in one strip."""
    fields = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 3, 8 + 2 + 9 * 12 + 4), (259, 3, 1, 1), (262, 3, 1, 2)]
    fields += [(273, 4, 1, 200), (277, 3, 1, 3), (278, 3, 1, 2), (279, 4, 1, 24)]
    rows = b"".join(struct.pack("<HHII", *field) for field in fields)
    start = b"II*\0" + struct.pack("<IH", 8, len(fields)) + rows + bytes(4) + struct.pack("<HHH", 16, 16, 16)
    return start.ljust(200, b"\0") + bytes(24)


def deep_jpeg2000() -> bytes:
    """With a depth of 16 bits written into its header."""
    data = bytearray(through(picture(0), "JPEG2000"))
    data[data.find(b"\xff\x4f\xff\x51") + 42] = 15
    return bytes(data)


GREY16 = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
FRAMES = [picture(seed) for seed in range(3)]
BAD = {
    "PNG of 16 bits": (deep_png(2, 3), "more than 8 bits"),
    "grey PNG of 16 bits with alpha": (deep_png(4, 2), "more than 8 bits"),
    "PNG of 16 bits with alpha": (deep_png(6, 4), "more than 8 bits"),
    "PPM of 16 bits": (b"P6 2 2 65535\n" + bytes(24), "more than 8 bits"),
    "PPM of 16 bits in words": (b"P3 # why not\n2 2 65535\n" + b"0 " * 12, "more than 8 bits"),
    "TIFF of 16 bits": (deep_tiff(), "more than 8 bits"),
    "70,000 pixels long": (through(Image.new("L", (70_000, 400)), "PNG"), "too long for their width"),
    "a thread": (through(Image.new("L", (1, 20_000)), "PNG"), "too long for their width"),
    "empty": (b"", "the file is empty"),
    "text": (b"no image", "is no image of a kind"),
    "SGI of 16 bits": (through(picture(0), "SGI", bpc=2), "more than 8 bits"),
    "JPEG 2000 of 16 bits": (deep_jpeg2000(), "more than 8 bits"),
    "grey JPEG 2000 of 16 bits": (through(GREY16, "JPEG2000"), "more than 8 bits"),
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
    "JPEG cut off before another": (through(FRAMES[0], "JPEG")[:-40] + through(FRAMES[1], "JPEG"), "ends too early"),
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


BEHIND = [b"\xff\xda no scan", through(FRAMES[1], "JPEG")[:-300], b"ftypmp42" + bytes(5000), b"\xff\xd9"]


@pytest.mark.parametrize("behind", BEHIND, ids=range(len(BEHIND)))
@pytest.mark.parametrize("progressive", [False, True])
def test_what_lies_behind_the_end_of_a_photograph_is_nothing_to_it(behind: bytes, progressive: bool) -> None:
    data = through(FRAMES[0], "JPEG", progressive=progressive)
    assert np.array_equal(np.asarray(decoded(data + behind)), np.asarray(decoded(data)))


def test_the_preview_in_a_header_has_an_end_that_is_not_the_photograph_s() -> None:
    exif = b"Exif\0\0" + through(FRAMES[1], "JPEG")
    data = through(FRAMES[0], "JPEG", exif=exif)
    assert decoded(data).size == (16, 16)
    with pytest.raises(BadImage, match="ends too early"):
        decoded(data[:-2])


@pytest.mark.parametrize("data", [b"P6 2 2 255\n" + bytes(12), b"P6 2 2 100\n" + bytes(12)])
def test_fewer_levels_than_8_bits_are_taken(data: bytes) -> None:
    assert decoded(data).mode == "RGB"


def test_a_named_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImage, match="is no regular file"):
        decode(tmp_path / "pipe.png")


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
