"""Damages images and lists at random and watches what the bench makes of them.

What must hold: an error of ours or a whole image, within seconds; and nothing is taken that a second reader refuses.
For PNG that is a strict parser written here, for JPEG torchvision's decoder; a file cut short is never taken.
`python -m tests.datasets.fuzz` tries 2,000; the tests try fewer.
"""

import io
import json
import random
import struct
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image
from torchvision.io import decode_jpeg

from datasets import PRESETS
from datasets.files.lists import read
from datasets.transforms.decoding import BadImage, decoded

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def originals() -> list[tuple[str, bytes]]:
    """Sound files of every kind that is read."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 31, 4), dtype=np.uint8)
    smooth = Image.fromarray(noise).resize((40, 33), Image.Resampling.BICUBIC)
    kinds = [("PNG", mode) for mode in ("RGB", "L", "P", "RGBA", "1", "LA")]
    kinds += [("JPEG", mode) for mode in ("RGB", "L", "CMYK")]
    kinds += [("GIF", "P"), ("BMP", "RGB"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("PPM", "RGB"), ("PPM", "L")]
    kinds += [(kind, "RGB") for kind in ("AVIF", "JPEG2000", "DIB", "ICO", "PCX", "SGI", "QOI", "DDS")]
    files = []
    for kind, mode in kinds:
        data = io.BytesIO()
        smooth.convert("RGB").convert(mode).save(data, kind)
        files.append((kind, data.getvalue()))
    data = io.BytesIO()
    smooth.convert("RGB").save(data, "JPEG", progressive=True, quality=90)
    return [*files, ("JPEG", data.getvalue())]


def flipped(chance: random.Random, data: bytes, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncated(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data))]


def swapped(chance: random.Random, data: bytes, other: bytes) -> bytes:
    first, second, third = sorted(chance.randrange(len(data)) for _ in range(3))
    return data[:first] + data[second:third] + data[first:second] + data[third:]


def zeroed(chance: random.Random, data: bytes, other: bytes) -> bytes:
    start, length = chance.randrange(len(data)), chance.randrange(1, 200)
    return data[:start] + bytes(len(data[start : start + length])) + data[start + length :]


def spliced(chance: random.Random, data: bytes, other: bytes) -> bytes:
    return data[: chance.randrange(len(data))] + other[chance.randrange(len(other)) :]


DAMAGES: tuple[Callable[[random.Random, bytes, bytes], bytes], ...] = (flipped, truncated, swapped, zeroed, spliced)


def strict_png(data: bytes) -> bool:
    """Whether every chunk of a PNG is whole and its pixels inflate to their end."""
    if not data.startswith(SIGNATURE):
        return False
    place, pixels, names = len(SIGNATURE), b"", []
    try:
        while not names or names[-1] != b"IEND":
            (length,) = struct.unpack_from(">I", data, place)
            name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
            (checksum,) = struct.unpack_from(">I", data, place + 8 + length)
            if zlib.crc32(name + body) != checksum:
                return False
            names.append(name)
            pixels += body if name == b"IDAT" else b""
            place += 12 + length
        inflating = zlib.decompressobj()
        inflating.decompress(pixels)
        return inflating.eof
    except (struct.error, zlib.error):
        return False


def taken_by_another(data: bytes) -> bool:
    if not data.startswith(b"\xff\xd8"):
        return strict_png(data) if data.startswith(SIGNATURE) else True
    try:
        decode_jpeg(torch.frombuffer(bytearray(data), dtype=torch.uint8))
    except RuntimeError:
        return False
    return True


def try_image(chance: random.Random, files: list[tuple[str, bytes]]) -> str:
    """Damage one image; "refused", "taken" or "unchanged". Fails where it must not be taken."""
    (kind, data), (_, other) = chance.choice(files), chance.choice(files)
    damage = chance.choice(DAMAGES)
    changed = damage(chance, data, other)
    try:
        image = decoded(changed)
    except BadImage:
        assert changed != data, f"a sound {kind} was refused"
        return "refused"
    pixels = PRESETS["noah"].pixels(image, 32)
    assert pixels.shape == (3, 32, 32)
    if changed == data:
        return "unchanged"
    assert taken_by_another(changed), f"{damage.__name__} {kind}: taken, but another reader refuses it"
    assert not (damage is truncated and kind in ("PNG", "JPEG")), f"a truncated {kind} was taken"
    return "taken"


def try_list(chance: random.Random, folder: Path) -> str:
    """Damage one list; what is still taken must be safe to use."""
    entries = [(f"images/test/{number:06d}.jpg", number % 10) for number in range(30)]
    ending = chance.choice((".txt", ".json"))
    text = "".join(f"{name} {label}\n" for name, label in entries)
    documents = json.dumps([{name: label} for name, label in entries]), json.dumps(dict(entries))
    data = (text if ending == ".txt" else chance.choice(documents)).encode()
    path = folder / f"list{ending}"
    path.write_bytes(chance.choice(DAMAGES)(chance, data, b'../x 1\n/etc/passwd 3\n{"a": -1}' + data))
    lines = read(path)
    for name, label in lines.entries:
        assert (folder / name).resolve().is_relative_to(folder.resolve()), name
        assert 0 <= label < 10**9
    return "list with problems" if lines.problems else "list taken"


def fuzz(count: int, seed: int = 0) -> Counter[str]:
    """Damage so many files; AssertionError, or any other exception, where something does not hold."""
    files, outcomes = originals(), Counter[str]()
    with TemporaryDirectory() as folder:
        for number in range(count):
            chance = random.Random(f"{seed} {number}")
            lists = number % 4 == 3
            try:
                outcomes[try_list(chance, Path(folder)) if lists else try_image(chance, files)] += 1
            except Exception as error:
                raise AssertionError(f"case {number} of seed {seed}: {type(error).__name__}: {error}") from error
    return outcomes


if __name__ == "__main__":
    sys.stdout.write(f"{dict(fuzz(int(sys.argv[1]) if len(sys.argv) > 1 else 2000))}\n")
