"""Opens image files of any origin: a whole, still, 8-bit image comes out, or one sentence that says why not.

Pillow alone takes a PNG whose checksums are wrong and a JPEG that ends too early as they come; here both are refused.
"""

import io
import warnings
import zlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

__all__ = ["ENDINGS", "BadImage", "decode", "decoded", "read"]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "PPM", "GIF", "TIFF")  # none that starts a program; JPEG opens MPO
ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".gif", ".tif", ".tiff"))
MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa", "LAB", "HSV"))
MOST_BYTES = 1 << 28
MOST_PIXELS = 80_000_000  # a larger one is a mistake or an attack; below Pillow's own limit


class BadImage(ValueError):
    """A file is not an image that can be evaluated; the message names it and says why."""


def decode(path: Path) -> Image.Image:
    """Give the image in `path`, decoded to its last byte; raises BadImage."""
    try:
        return decoded(read(path))
    except BadImage as error:
        raise BadImage(f"{path}: {error}") from error


def read(path: Path) -> bytes:
    """Give the bytes of a file; raises BadImage, whose message does not name it."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise BadImage(f"the file is larger than {MOST_BYTES:,} bytes")
    return data


def decoded(data: bytes) -> Image.Image:
    """Give the image in `data`; raises BadImage. The format stays known, `image.format`."""
    if not data:
        raise BadImage("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd metadata; what matters is checked here
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
            _check(image, data)
            image.load()
        except BadImage:
            raise
        except UnidentifiedImageError as error:
            raise BadImage("is no image of a kind that is read here") from error
        except Exception as error:  # decoders raise nearly anything on damaged bytes
            raise BadImage(f"cannot be decoded ({str(error)[:200] or type(error).__name__})") from error
    return image


def _check(image: Image.Image, data: bytes) -> None:
    """Raise BadImage for what the decoder would accept but no protocol has a meaning for."""
    if image.width * image.height > MOST_PIXELS:
        raise BadImage(f"{image.width} x {image.height} pixels are more than {MOST_PIXELS:,}")
    if image.mode not in MODES:
        raise BadImage(f"pixels of kind {image.mode} have more than 8 bits; convert the image to 8 bits")
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise BadImage("is animated or has several pages; keep one")
    if image.format in ("JPEG", "MPO") and not _ended_jpeg(data):
        raise BadImage("the JPEG ends too early")
    if image.format == "PNG" and not _whole_png(memoryview(data)):
        raise BadImage("the PNG ends too early or one of its checksums is wrong")


def _ended_jpeg(data: bytes) -> bool:
    """Whether an end was written and no scan begins behind it; a small preview inside has an end of its own."""
    end = data.rfind(b"\xff\xd9")
    return end >= 0 and data.find(b"\xff\xda", end) < 0


def _whole_png(data: memoryview) -> bool:
    """Whether all chunks to the last are there and are what their checksums say."""
    place, name = 8, b""
    while name != b"IEND":
        end = place + 8 + int.from_bytes(data[place : place + 4])
        name = bytes(data[place + 4 : place + 8])
        if end + 4 > len(data) or zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        place = end + 4
    return True
