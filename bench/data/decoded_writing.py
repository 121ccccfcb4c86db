"""Writing an entry of decoded images: under a temporary name, within the bound, and gone if it is not finished."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from io import BufferedWriter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHECKSUMS", "IMAGES", "Making", "begin", "remove"]

IMAGES, CHECKSUMS = "images.uint8", "checksums.json"
MAKING, GOING, LOCK = ".making-", ".going-", ".lock"
log = logging.getLogger(__name__)


class Making:
    """An entry that is being written; its temporary folder is gone when the context ends."""

    def __init__(self, folder: Path, file: BufferedWriter) -> None:
        self._folder, self._file = folder, file
        self._checksums: list[int] = []
        self._failed = False

    def __enter__(self) -> Making:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # a full disk, which was said already
            self._file.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Write one block."""
        if not self._failed:
            try:
                self._file.write(images.data)
                self._checksums.append(zlib.crc32(images.data))
            except OSError as error:
                self._give_up(error)

    def finish(self, place: Path, block: int) -> None:
        """Flush and rename. Where another process was first, its entry stays."""
        if self._failed:
            return
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            (self._folder / CHECKSUMS).write_text(json.dumps({"block": block, "crc32": self._checksums}))
            os.chmod(self._folder, _open_as(os.fstat(self._file.fileno()).st_mode))
            os.rename(self._folder, place)
        except OSError as error:
            if not place.is_dir():
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._failed = True
        log.warning("decoded images are not kept: %s", error.strerror)


def _open_as(file_mode: int) -> int:
    """The mode of a folder for those who may read a file; a temporary one is for its owner alone."""
    readers = file_mode & 0o444
    return (file_mode & 0o666) | readers >> 2 | 0o700


def begin(folder: Path, size_bytes: int, limit_bytes: int) -> Making | None:
    """An entry of that size below `folder`, or None, with a warning, where there is no room for it."""
    making = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            _clear_leftovers(folder)
            if not _make_room(folder, limit_bytes - size_bytes):
                log.warning("decoded images are not kept: %d MiB are beyond the limit", size_bytes >> 20)
                return None
            temporary = Path(tempfile.mkdtemp(dir=folder, prefix=MAKING))
            making = Making(temporary, (temporary / IMAGES).open("wb"))
            fcntl.flock(making._file, fcntl.LOCK_EX)  # says that someone is at work here
            os.posix_fallocate(making._file.fileno(), 0, size_bytes)  # now, and so that others count it
    except OSError as error:
        log.warning("decoded images are not kept in %s: %s", folder, error.strerror)
        if making is not None:
            making.__exit__()
        return None
    return making


def remove(folder: Path) -> None:
    """Take an entry away in one step."""
    with contextlib.suppress(OSError):  # another process was first
        going = Path(tempfile.mkdtemp(dir=folder.parent, prefix=GOING))
        os.rename(folder, going / "entry")
        shutil.rmtree(going, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clear_leftovers(folder: Path) -> None:
    """Remove what processes left that were killed: nobody holds the lock of such an entry."""
    for left in folder.glob(f"{MAKING}*"):
        try:
            with (left / IMAGES).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except FileNotFoundError:
            pass  # killed before the file was there; folders are made under the lock that is held here
        shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(f"{GOING}*"):
        if time.time() - left.stat().st_mtime > 60:
            shutil.rmtree(left, ignore_errors=True)


def _make_room(folder: Path, limit_bytes: int) -> bool:
    """Remove the entries not read for longest until the rest is within the limit; False where it cannot be."""
    if limit_bytes < 0:
        return False
    sizes = {path.parent: path.stat().st_size for path in folder.glob(f"*/{IMAGES}")}
    complete = [path for path in sizes if not path.name.startswith(".")]
    total = sum(sizes.values())
    for path in sorted(complete, key=lambda path: path.stat().st_mtime):
        if total <= limit_bytes:
            break
        remove(path)
        total -= sizes[path]
    return total <= limit_bytes
