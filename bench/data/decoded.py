"""Decoded images on disk, so that they are decoded once: memory-mapped, checksummed, bounded, shared by processes.

An entry is a folder that is renamed into place when it is complete; two processes that make the same one both may, and
the first stays. The folder of an entry is touched when it is read, and the one not read for longest goes first.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.data.decoded_writing import CHECKSUMS, IMAGES, begin, remove

__all__ = ["DecodedImages", "Entry"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Entry:
    """A complete entry: the images of a split, and a checksum of each block of them."""

    images: NDArray[np.uint8]  # memory-mapped
    checksums: list[int]
    block: int  # images in each block but the last

    def read(self, number: int) -> Tensor | None:
        """A copy of one block, or None where the disk no longer gives what was written."""
        part = np.array(self.images[number * self.block : (number + 1) * self.block])
        return torch.from_numpy(part) if zlib.crc32(part.data) == self.checksums[number] else None


@dataclass(frozen=True)
class DecodedImages:
    """The entries below `folder`, which together take at most `limit_bytes`."""

    folder: Path
    limit_bytes: int

    def find(self, key: str, shape: tuple[int, ...]) -> Entry | None:
        """The entry of that key; one that cannot be right is dropped."""
        folder = self.folder / key
        try:
            known = json.loads((folder / CHECKSUMS).read_bytes())
            entry = Entry(np.memmap(folder / IMAGES, np.uint8, "r", shape=shape), known["crc32"], known["block"])
            blocks = -(-shape[0] // entry.block)
            if (folder / IMAGES).stat().st_size != entry.images.nbytes or len(entry.checksums) != blocks:
                raise ValueError("its size is wrong")
        except (FileNotFoundError, PermissionError):  # the latter is somebody else's
            return None
        except (OSError, ValueError, LookupError, TypeError, ArithmeticError) as error:
            self.drop(key, str(error))
            return None
        with contextlib.suppress(OSError):  # it may be read and not touched
            os.utime(folder)
        return entry

    def drop(self, key: str, why: str) -> None:
        """Remove an entry; who has it open can go on reading."""
        log.warning("decoded images in %s are made again: %s", self.folder / key, why)
        remove(self.folder / key)

    def kept(self, key: str, blocks: Iterable[Tensor], size_bytes: int, block: int) -> Iterator[Tensor]:
        """Pass the blocks on, and keep them when all have come. A full or read-only disk only ends the keeping."""
        making = begin(self.folder, size_bytes, self.limit_bytes)
        if making is None:
            yield from blocks
            return
        with making:
            for images in blocks:
                making.add(images.numpy())
                yield images
            making.finish(self.folder / key, block)
