"""Opens image files of any origin: a whole, still, 8-bit image comes out, or one sentence that says why not.

Pillow alone takes a PNG whose checksums are wrong and a JPEG that ends too early as they come; here both are refused.
"""

import io
import warnings
from pathlib import Path

from PIL import Image

__all__ = ["ENDINGS", "BadImage", "decode", "decoded", "read"]

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "BMP", "PPM", "GIF", "TIFF")  # nothing that starts another program
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
    if image.format in ("JPEG", "MPO") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise BadImage("the JPEG ends too early")
    if image.format == "PNG":
        Image.open(io.BytesIO(data), formats=("PNG",)).verify()  # the checksums of all chunks
