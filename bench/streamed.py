"""A split on disk whose images are decoded when they are read, by other processes, ahead of the device."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import PIL
import torch
from torch import Tensor

from bench.ahead import AHEAD, ahead, cores
from bench.decoded import DecodedImages, Entry
from bench.execution import Reading
from datasets import Preprocessing
from datasets.base import Split
from datasets.decoding import RULES, BadImage
from datasets.listing import Listing
from datasets.preprocessing import PIXELS

__all__ = ["Streamed", "room_for", "streamed"]

BLOCK = 64  # images that a process decodes at a time: fewer cost more in passing on, more come too late
SHARED = Path("/dev/shm")  # the memory through which they come


@dataclass(frozen=True, eq=False)
class Streamed:
    """Read like a Split through `bench.data.batches`; the labels are known, the images come when asked for."""

    listing: Listing
    labels: Tensor
    preprocessing: Preprocessing
    size: int
    workers: int
    decoded: DecodedImages | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size_bytes(self) -> int:
        """What all images take when they are decoded."""
        return len(self) * 3 * self.size**2

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (uint8) and labels in order, in the memory of the host. Raises BadImage."""
        waiting: list[Tensor] = []
        start = 0
        for block in self.blocks():
            waiting.append(block)
            while (count := sum(map(len, waiting))) >= batch_size or (count and start + count == len(self)):
                joined = torch.cat(waiting, out=room_for(count, self.size))
                images, rest = joined[:batch_size], joined[batch_size:]
                waiting = [rest] if len(rest) else []
                yield images, self.labels[start : start + len(images)]
                start += len(images)

    def picked(self, places: list[int]) -> Split:
        """Some of the images, in memory. Raises BadImage."""
        images = [self.listing.view(place, self.preprocessing, self.size) for place in places]
        return Split(torch.stack(images), self.labels[places])

    def blocks(self) -> Iterator[Tensor]:
        """All images, a few at a time, from where they are kept or else decoded and kept. Raises BadImage."""
        if self.decoded is None:
            yield from self._made()
            return
        key = self._key()
        entry = self.decoded.find(key, (len(self), 3, self.size, self.size))
        if entry is None:
            yield from self.decoded.kept(key, self._made(), self.size_bytes, BLOCK)
        else:
            yield from self._read(entry, key, self.decoded)

    def _made(self) -> Iterator[Tensor]:
        decode = partial(_decode, self.listing, self.preprocessing, self.size)
        for images in ahead(decode, range(0, len(self), BLOCK), self._processes()):
            if isinstance(images, str):
                raise BadImage(images)
            yield images

    def _read(self, entry: Entry, key: str, decoded: DecodedImages) -> Iterator[Tensor]:
        """What is kept; a block that was damaged is decoded again, and at the end the entry is dropped."""
        damaged = False
        for number, start in enumerate(range(0, len(self), entry.block)):
            images = entry.read(number)
            if images is None:
                damaged = True
                images = _pixels(self.listing, self.preprocessing, self.size, range(start, start + entry.block))
            yield images
        if damaged:
            decoded.drop(key, "the disk gave something else than was written")

    def _processes(self) -> int:
        """As many as may work ahead without filling the shared memory, which is small in some containers."""
        block_bytes = BLOCK * 3 * self.size**2
        room = shutil.disk_usage(SHARED).free // 2 if SHARED.is_dir() else 0
        return min(self.workers, room // (block_bytes * (AHEAD + 1)))

    def _key(self) -> str:
        """What the pixels follow from: which files, as they are now, and how they are decoded."""
        listing, how = self.listing, self.preprocessing
        times = [_modified_ns(listing.folder / name) for name in listing.names]
        made = how.decode, how.interpolation, how.resize, self.size, PIXELS, RULES, PIL.__version__
        parts = listing.folder.resolve(), listing.digest, times, *made
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _modified_ns(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0  # decoding says that it is gone


def room_for(images: int, size: int) -> Tensor:
    """Memory for images; numpy asks for large pages, and touching small ones first takes longer than copying."""
    return torch.from_numpy(np.empty((images, 3, size, size), np.uint8))


def streamed(listing: Listing, preprocessing: Preprocessing, size: int, how: Reading) -> Streamed:
    """The images of a listing, carried out as asked."""
    workers = cores() if how.workers is None else how.workers
    decoded = DecodedImages(how.cache / "decoded", how.cache_bytes) if how.cache else None
    return Streamed(listing, torch.tensor(listing.labels), preprocessing, size, workers, decoded)


def _decode(listing: Listing, preprocessing: Preprocessing, size: int, start: int) -> Tensor | str:
    """One block, or what is wrong with it: an exception would bring the traceback of another process along."""
    try:
        return _pixels(listing, preprocessing, size, range(start, start + BLOCK))
    except ValueError as error:
        return str(error)


def _pixels(listing: Listing, preprocessing: Preprocessing, size: int, places: range) -> Tensor:
    indices = range(places.start, min(places.stop, len(listing)))
    images = room_for(len(indices), size)
    for place, index in enumerate(indices):
        images[place] = listing.view(index, preprocessing, size)
    return images
