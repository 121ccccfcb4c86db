"""Loads the splits of a run's task, without images that are to be skipped, and keeps those that were decoded last."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.data.loader import Streamed
from bench.data.scan import scan
from bench.run import Run
from bench.settings import LoaderSettings
from datasets import Preprocessing, Split, Task
from datasets.files.image_tree import shown as printable
from datasets.files.listing import Listing, Listings
from datasets.transforms.decoding import BadImage, read
from datasets.transforms.preprocessing import PIXELS
from results import numbered

__all__ = ["Loaded", "check_files", "load", "load_split", "mended", "pixels_of", "whole", "without_bad"]

IN_MEMORY_BYTES = 256 * 2**20  # a test split as small as that is decoded once
RECENT_BYTES = 2 * 2**30  # of decoded images that are kept in memory for the next run


@dataclass(frozen=True, eq=False)
class Loaded:
    """A split, and how many of its images were left out because they cannot be decoded."""

    split: Split | Streamed
    skipped: int = 0


_recent: OrderedDict[Hashable, tuple[Loaded, int]] = OrderedDict()  # with their bytes, the last one used at the end


def load(run: Run, split: str, loader: LoaderSettings, in_memory: bool = False) -> Loaded:
    """Return images and labels as the run's recipe wants them, decoded once for runs that follow each other on a task.

    A split that is too large for memory is decoded each time it is read, unless it is to be `in_memory`.
    """
    key = pixels_of(run, split), run.task.source, loader.on_bad_image
    if key in _recent:
        _recent.move_to_end(key)
        return _recent[key][0]
    found = load_split(run.task, split, run.preset, run.backbone.image_size, loader)
    found = Loaded(whole(found.split), found.skipped) if in_memory else found
    if isinstance(found.split, Split) and found.split.images.nbytes <= RECENT_BYTES:
        _recent[key] = found, found.split.images.nbytes
        while sum(size for _, size in _recent.values()) > RECENT_BYTES:
            _recent.popitem(last=False)
    return found


def pixels_of(run: Run, split: str) -> tuple[Hashable, ...]:
    """Return what decides every pixel of a split, apart from a source that changes without a new revision."""
    task = run.task
    data = run.suite, task.name, task.revision, task.draw, tuple(sorted(task.sizes.items()))
    return *data, split, run.preset, PIXELS, run.backbone.image_size


def load_split(task: Task, name: str, preprocessing: Preprocessing, size: int, loader: LoaderSettings) -> Loaded:
    """Return a split: in memory where it is small, else decoded as it is read. Raises BadImage, and ValueError."""
    if not isinstance(task.source, Listings) or name not in task.sizes:
        return Loaded(task.load(name, preprocessing, size))
    listing, skipped = without_bad(task, name, loader) if loader.on_bad_image == "skip" else (task.source(name), 0)
    found = Streamed(listing, preprocessing, size, loader.processes)
    return Loaded(whole(found) if found.size_bytes <= IN_MEMORY_BYTES else found, skipped)


def whole(found: Split | Streamed) -> Split:
    """Return the split with all images in memory."""
    if isinstance(found, Split):
        return found
    images = torch.empty(len(found), 3, found.size, found.size, dtype=torch.uint8)
    start = 0
    for some, _ in found.batches():
        images[start : start + len(some)] = some
        start += len(some)
    return Split(images, found.labels)


def without_bad(task: Task, name: str, loader: LoaderSettings) -> tuple[Listing, int]:
    """Find images of a split that decode, and count the others; a file that stays the same is looked at once.

    Raises ValueError where nothing is left, or nothing of a class that is trained on, or too little for the shots.
    """
    source = task.source
    assert isinstance(source, Listings)
    listing, pool = source(name), source.pool(name)
    seen = scan(listing.folder, pool, loader.processes)
    bad = {file for file in pool if file in seen.gone or seen.facts[file].problem}
    if bad.issuperset(listing.names):
        raise ValueError(f"none of {numbered(len(listing), 'image')} below {listing.folder} can be decoded")
    left, skipped = source.without(name, bad)
    lost = sorted({*listing.labels} - {*left.labels})
    if lost and (name == "train" or task.viewed):
        files = [file for file, label in zip(listing.names, listing.labels, strict=True) if label == lost[0]]
        why = "it is not there" if files[0] in seen.gone else seen.facts[files[0]].problem
        known = printable(task.names[lost[0]]) if task.names else str(lost[0])
        more = f", and of {numbered(len(lost) - 1, 'more class', 'more classes')}," if len(lost) > 1 else ""
        raise ValueError(
            f"{task.name}: of class {known}{more} no image of the {name} split can be decoded; the first is "
            f"{printable(files[0])}: {why}; mend the images or take the class away"
        )
    return left, skipped


def mended(task: Task, skipped: Mapping[str, int]) -> bool:
    """Return whether other images decode than when so many of each split were left out; all files are looked at."""
    if not skipped or not isinstance(task.source, Listings):
        return False
    try:
        return any(without_bad(task, split, LoaderSettings())[1] != count for split, count in skipped.items())
    except ValueError:  # none can be decoded by now, so there is nothing to gain
        return False


def check_files(tasks: Iterable[Task], loader: LoaderSettings, check: str) -> None:
    """Raise ValueError for what is seen of images before work starts; `check` is the call that names all of it.

    A file that is listed but cannot be opened is a BadImage, unless such files are skipped. Then one's own folder must
    have enough images left of every class.
    """
    for task in tasks:
        if not task.revision or not isinstance(task.source, Listings):
            continue
        if loader.on_bad_image == "skip":
            for split in ("train", "test") if task.viewed else ():
                without_bad(task, split, loader)
            continue
        sources = [task.source(split) for split in ("train", "test")]
        if gone := [source.folder / name for source in sources for name in source.gone]:
            more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
            raise BadImage(
                f"{task.name}: {printable(str(gone[0]))}{more} cannot be used: {_why(gone[0])}; mend that "
                f"({check} names all), or leave them out with --on-bad-image skip"
            )


def _why(path: Path) -> str:
    try:
        read(path)
    except BadImage as error:
        return str(error)
    return "mended since"
