"""A split whose images lie on disk: which files, which labels, how many bytes. Images are decoded when asked for."""

import hashlib
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image
from torch import Tensor

from datasets.files.lists import Entry
from datasets.transforms.decoding import BadImage, decode
from datasets.transforms.preprocessing import Preprocessing

GONE = -1  # in place of the size of a file that is not there, or that cannot be read
__all__ = ["Listing", "Listings", "listing", "revision"]


@dataclass(frozen=True, eq=False)
class Listing:
    """Images by name below `folder`, with their labels and file sizes, in the order of the list."""

    folder: Path
    names: tuple[str, ...]
    labels: tuple[int, ...]
    sizes_bytes: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[tuple[Image.Image, int]]:
        for name, label in zip(self.names, self.labels, strict=True):
            yield decode(self.folder / name), label

    def view(self, index: int, preprocessing: Preprocessing, size: int) -> Tensor:
        """Give one image as uint8, 3 x size x size, to be copied; raises BadImage."""
        return self._made(index, preprocessing.view, size)

    def augmented(self, index: int, preprocessing: Preprocessing, size: int) -> Tensor:
        """Give one image as it is trained on once, drawing from the global generators; raises BadImage."""
        return self._made(index, preprocessing.augmented, size)

    def _made(self, index: int, make: Callable[[Image.Image, int], Tensor], size: int) -> Tensor:
        path = self.folder / self.names[index]
        image = decode(path)
        try:
            return make(image, size)
        except (ValueError, OSError, MemoryError) as error:
            raise BadImage(f"{path}: cannot be preprocessed ({str(error)[:200] or type(error).__name__})") from error

    @cached_property
    def digest(self) -> str:
        """Changes whenever a name, a label or the size of a file does."""
        rows = zip(self.names, self.labels, self.sizes_bytes, strict=True)
        text = "\n".join(f"{name} {label} {size}" for name, label, size in rows)
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()

    @property
    def stamps(self) -> tuple[tuple[int, ...], ...]:
        """Size, times of change, and inode of every file now: a file that is mended in place has others."""
        return tuple(_stamp(self.folder / name) for name in self.names)

    @property
    def gone(self) -> list[str]:
        """The names of files that are listed but not there, or that cannot be read."""
        return [name for name, size in zip(self.names, self.sizes_bytes, strict=True) if size == GONE]

    def without(self, places: Sequence[int]) -> "Listing":
        """Give the listing without the images at `places`."""
        gone = frozenset(places)
        kept = [place for place in range(len(self)) if place not in gone]
        return Listing(
            self.folder,
            tuple(self.names[place] for place in kept),
            tuple(self.labels[place] for place in kept),
            tuple(self.sizes_bytes[place] for place in kept),
        )


@dataclass(frozen=True, eq=False)
class Listings:
    """The splits of a task on disk; a `Source` that other processes can be sent."""

    splits: Mapping[str, Listing]

    def __call__(self, split: str) -> Listing:
        return self.splits[split]

    def pool(self, split: str) -> Sequence[str]:
        """Give the names of all images that the split may be drawn from."""
        return self.splits[split].names

    def validation(self) -> str:
        """Return what tells the validation list from another of the same task. Raises ValueError where it cannot do."""
        return ""  # a published list is what it is, and 200 images need not have all classes

    def without(self, split: str, bad: Collection[str]) -> tuple[Listing, int]:
        """Give the split without the images of these names, and how many it lost. Raises ValueError."""
        listing = self.splits[split]
        left = listing.without([place for place, name in enumerate(listing.names) if name in bad])
        return left, len(listing) - len(left)


def listing(folder: Path, entries: Sequence[Entry]) -> Listing:
    """Look up every file."""
    names, labels = tuple(name for name, _ in entries), tuple(label for _, label in entries)
    return Listing(folder, names, labels, tuple(_size_bytes(folder / name) for name in names))


def _size_bytes(path: Path) -> int:
    try:
        status = os.stat(path)
    except OSError:
        return GONE
    return status.st_size if stat.S_ISREG(status.st_mode) and os.access(path, os.R_OK) else GONE


def _stamp(path: Path) -> tuple[int, ...]:
    try:
        status = os.stat(path)
    except OSError:
        return ()  # decoding says that it is gone
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def revision(splits: Iterable[Listing], names: Sequence[str]) -> str:
    """Give eight hexadecimal digits over what is trained on and scored, and over the names of the classes if known."""
    text = " ".join(split.digest for split in splits) + (f" {list(names)}" if names else "")
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:8]
