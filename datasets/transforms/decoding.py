"""Opens image files of any origin: a whole, still, 8-bit image comes out, or one sentence that says why not.

Pillow alone takes a PNG whose checksums are wrong and a JPEG that ends too early as they come; here both are refused.
"""

import io
import os
import re
import stat
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from PIL import Image, PpmImagePlugin, TiffImagePlugin, UnidentifiedImageError

__all__ = ["ENDINGS", "RULES", "BadImage", "decode", "decoded", "read"]

RULES = 4  # raised whenever other files are refused or other pixels come out; part of what is remembered about files
FORMATS = (  # of Pillow; none starts a program or holds films, and TGA, which has no mark of its own, comes last
    *("PNG", "JPEG", "WEBP", "BMP", "PPM", "GIF", "TIFF", "AVIF", "JPEG2000", "DIB", "ICO", "PCX", "SGI"),
    *("QOI", "SUN", "PSD", "DDS", "XBM", "XPM", "MSP", "TGA"),  # JPEG opens MPO
)
ENDINGS = frozenset(
    f".{ending}"
    for ending in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "mpo", "webp", "bmp", "dib", "gif", "tif", "tiff"),
        *("ppm", "pgm", "pbm", "pnm", "pfm", "avif", "avifs", "jp2", "j2k", "jpc", "jpf", "jpx", "j2c"),
        *("ico", "pcx", "sgi", "rgb", "rgba", "bw", "qoi", "ras", "psd", "dds", "xbm", "xpm", "msp"),
        *("tga", "icb", "vda", "vst"),
    )
)
MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "RGBa"))
OTHER_COLOURS = ("LAB", "HSV")
MOST_BYTES = 1 << 28
MOST_PIXELS = 80_000_000  # a larger one is a mistake or an attack; below Pillow's own limit
LONGEST_SIDE = 65_500  # of a JPEG, which some presets make of every image
MOST_ELONGATED = 200  # longer to shorter side: cutting out the middle enlarges the shorter to 256
HALF_FLOATS = (94, 95, 96)  # kinds of BC6H, as a DDS file numbers them
BEGIN, END, SCAN, ALONE = 0xD8, 0xD9, 0xDA, 0x01  # markers of a JPEG; the last has no length behind it
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # in a JPEG; the others are part of a scan


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
        with open(path, "rb", opener=_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BadImage("is no regular file")
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise BadImage(f"cannot be read ({error.strerror})") from error
    if len(data) > MOST_BYTES:
        raise BadImage(f"the file is larger than {MOST_BYTES:,} bytes")
    return data


def _at_once(path: str, flags: int) -> int:
    """A named pipe would otherwise be waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


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
    longer, shorter = max(image.size), min(image.size)
    if longer > LONGEST_SIDE or longer > MOST_ELONGATED * shorter:
        raise BadImage(f"{image.width} x {image.height} pixels are too long for their width")
    _check_pixels(image, data)
    if image.format not in ("MPO", "PSD") and getattr(image, "n_frames", 1) > 1:
        raise BadImage("is animated or has several pages; keep one")
    if image.format in ("JPEG", "MPO") and not _ended_jpeg(data):
        raise BadImage("the JPEG ends too early")
    if image.format == "PNG" and not _whole_png(memoryview(data)):
        raise BadImage("the PNG ends too early or one of its checksums is wrong")
    if not ENDED.get(image.format or "", bool)(data):
        raise BadImage(f"the {image.format} ends too early")


def _check_pixels(image: Image.Image, data: bytes) -> None:
    """Raise BadImage for pixels that are no 8-bit grey or colour."""
    if image.mode in OTHER_COLOURS:
        raise BadImage(f"colours of kind {image.mode} depend on who converts them; convert the image to RGB")
    if image.mode not in MODES or _bits(image, data) > 8:
        raise BadImage(f"pixels of kind {image.mode} have more than 8 bits; convert the image to 8 bits")


def _bits(image: Image.Image, data: bytes) -> int:
    """Return the bits of a channel in the file: colours with 16 come out of Pillow cut down to 8."""
    if image.format == "PNG":
        return data[24]  # signature, length and name of the header, width, height
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))))
    if isinstance(image, PpmImagePlugin.PpmImageFile) and image.tile[0].codec_name.startswith("ppm"):
        return int(image.tile[0].args[-1]).bit_length()  # type: ignore[index] # the highest value
    if image.format == "JPEG2000":
        return _bits_of_jpeg2000(data)
    if image.format == "AVIF":  # the second bit of the third byte of its configuration says that there are 10 or 12
        return 10 if data[data.find(b"av1C") + 6] & 0x40 else 8
    if image.format == "SGI":
        return 8 * data[3]  # bytes of a channel
    if image.format == "DDS" and data[84:88] == b"DX10":
        return 16 if data[128] in HALF_FLOATS else 8
    return 8


def _bits_of_jpeg2000(data: bytes) -> int:
    """Return the most bits that a component has; they stand in the first segment of the codestream."""
    start = data.find(b"\xff\x4f\xff\x51") + 4
    components = int.from_bytes(data[start + 36 : start + 38])
    return max((data[start + 38 + 3 * number] & 0x7F) + 1 for number in range(components))


def _ended_jpeg(data: bytes) -> bool:
    """Return whether the first image in the file has a scan and an end of its own; a preview has another."""
    place, scanned = 2, False
    while marker := MARKER.search(data, place):
        kind, place = data[marker.end() - 1], marker.end()
        if kind in (BEGIN, END):
            return scanned and kind == END
        scanned = scanned or kind == SCAN
        place += int.from_bytes(data[place : place + 2]) if kind != ALONE else 0
    return False


def _ended_ico(data: bytes) -> bool:
    """Return whether the file holds all pictures that its directory names, 16 bytes an entry."""
    entries = (data[start : start + 16] for start in range(6, 6 + 16 * int.from_bytes(data[4:6], "little"), 16))
    return all(int.from_bytes(e[8:12], "little") + int.from_bytes(e[12:], "little") <= len(data) for e in entries)


ENDED: Mapping[str, Callable[[bytes], bool]] = MappingProxyType(  # formats whose decoder takes a file that is cut short
    {
        "JPEG2000": lambda data: data.rfind(b"\xff\xd9") > data.find(b"\xff\x93") > 0,  # end after start of data
        "PCX": lambda data: data[1] != 5 or data[3] != 8 or data[65] != 1 or data[-769] == 12,  # a palette begins so
        "ICO": _ended_ico,
    }
)


def _whole_png(data: memoryview) -> bool:
    """Return whether all chunks to the last are there and are what their checksums say."""
    place, name = 8, b""
    while name != b"IEND":
        end = place + 8 + int.from_bytes(data[place : place + 4])
        name = bytes(data[place + 4 : place + 8])
        if end + 4 > len(data) or zlib.crc32(data[place + 4 : end]) != int.from_bytes(data[end : end + 4]):
            return False
        place = end + 4
    return True
