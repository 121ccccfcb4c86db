"""A split on disk whose images are decoded when they are read, by other processes, ahead of the device."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import PIL
import torch
from torch import Tensor

from bench.data.decoded import DecodedImages, Entry
from bench.data.slots import filled
from bench.settings import Reading
from datasets import Preprocessing
from datasets.base import Split
from datasets.files.listing import Listing
from datasets.transforms.decoding import RULES
from datasets.transforms.preprocessing import PIXELS

__all__ = ["TEST_BATCH", "Streamed", "room_for", "streamed"]

TEST_BATCH = 256  # images that are scored at a time
PIECE = 32  # of them, that a process decodes at a time: fewer cost more in passing on, more come too late


@dataclass(frozen=True, eq=False)
class Streamed:
    """Read like a Split through `bench.data.batches.batches`; the labels are known, the images come when asked for."""

    listing: Listing
    labels: Tensor
    preprocessing: Preprocessing
    size: int
    workers: int
    decoded: DecodedImages | None = None
    batch_size: int = TEST_BATCH

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def size_bytes(self) -> int:
        """What all images take when they are decoded."""
        return len(self) * 3 * self.size**2

    @cached_property
    def content(self) -> str:
        """Sixteen hexadecimal digits that change when a file is written to, moved or replaced."""
        return hashlib.sha256(repr((self.listing.folder.resolve(), self.listing.stamps)).encode()).hexdigest()[:16]

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Images (uint8) and labels in order, in the memory of the host. Raises BadImage.

        The images are there until the next are asked for: these are written over them.
        """
        yield from zip(self._images(), self.labels.split(self.batch_size), strict=True)

    def picked(self, places: list[int]) -> Split:
        """Some of the images, in memory. Raises BadImage."""
        images = [self.listing.view(place, self.preprocessing, self.size) for place in places]
        return Split(torch.stack(images), self.labels[places])

    def _images(self) -> Iterator[Tensor]:
        """All images, a batch at a time, from where they are kept or else decoded and kept."""
        if self.decoded is None:
            yield from self._made()
            return
        key = self._key()
        entry = self.decoded.find(key, (len(self), 3, self.size, self.size))
        if entry is None:
            yield from self.decoded.kept(key, self._made(), self.size_bytes, self.batch_size)
        else:
            yield from self._read(entry, key, self.decoded)

    def _made(self) -> Iterator[Tensor]:
        """All images as they are decoded, by processes that are ahead."""
        most = min(self.batch_size, len(self))
        fill = Decoding(self.listing, self.preprocessing, self.size, self.batch_size, PIECE)
        shape = most, 3, self.size, self.size
        batches = filled(fill, -(-len(self) // self.batch_size), -(-most // PIECE), shape, self.workers)
        for start, images in zip(range(0, len(self), self.batch_size), batches, strict=True):
            yield images[: len(self) - start]

    def _read(self, entry: Entry, key: str, decoded: DecodedImages) -> Iterator[Tensor]:
        """What is kept; a batch that was damaged is decoded again, and at the end the entry is dropped."""
        damaged = False
        for number, start in enumerate(range(0, len(self), entry.block)):
            images = entry.read(number)
            if images is None:
                damaged = True
                piece = range(start, min(start + entry.block, len(self)))
                images = room_for(len(piece), self.size)
                _write(self.listing, self.preprocessing, self.size, piece, images)
            yield images
        if damaged:
            decoded.drop(key, "the disk gave something else than was written")

    def _key(self) -> str:
        """What the pixels follow from: which files, as they are now, and how they are decoded."""
        listing, how = self.listing, self.preprocessing
        made = (
            how.decode,
            how.rendering,
            how.interpolation,
            how.resize,
            self.size,
            self.batch_size,
            PIXELS,
            RULES,
            PIL.__version__,
        )
        parts = listing.folder.resolve(), listing.digest, listing.stamps, *made
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def room_for(images: int, size: int) -> Tensor:
    """Memory for images; numpy asks for large pages, and touching small ones first takes longer than copying."""
    return torch.from_numpy(np.empty((images, 3, size, size), np.uint8))


def streamed(listing: Listing, preprocessing: Preprocessing, size: int, how: Reading) -> Streamed:
    """The images of a listing, carried out as asked."""
    decoded = DecodedImages(how.cache / "decoded", how.cache_bytes) if how.cache else None
    return Streamed(listing, torch.tensor(listing.labels), preprocessing, size, how.processes, decoded)


@dataclass(frozen=True)
class Decoding:
    """What is decoded for each batch; sent to the processes that decode."""

    listing: Listing
    preprocessing: Preprocessing
    size: int
    batch_size: int
    together: int  # images of a piece

    def __call__(self, batch: int, piece: int, room: Tensor) -> None:
        """Write a piece of a batch; of the last batch there may be none left."""
        start, first = batch * self.batch_size, piece * self.together
        places = range(start, min(start + self.batch_size, len(self.listing)))[first : first + self.together]
        _write(self.listing, self.preprocessing, self.size, places, room[first:])


def _write(listing: Listing, preprocessing: Preprocessing, size: int, piece: range, room: Tensor) -> None:
    for place, index in enumerate(piece):
        room[place] = listing.view(index, preprocessing, size)
