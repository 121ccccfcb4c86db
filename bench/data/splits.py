"""Loads the splits of a task for a run: images on disk by many processes, without those that are to be skipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.data.scan import scan
from bench.data.streamed import Streamed, room_for, streamed
from bench.settings import Reading
from datasets import Preprocessing, Split, Task
from datasets.files.image_tree import shown as printable
from datasets.files.listing import Listing, Listings
from datasets.transforms.decoding import BadImage, read

__all__ = ["Loaded", "check_files", "load_split", "mended", "whole"]

IN_MEMORY_BYTES = 256 * 2**20  # a test split as small as that is decoded once


@dataclass(frozen=True, eq=False)
class Loaded:
    """A split, and how many of its images were left out because they cannot be decoded."""

    split: Split | Streamed
    skipped: int = 0


def load_split(task: Task, name: str, preprocessing: Preprocessing, size: int, how: Reading) -> Loaded:
    """In memory where it is small, else decoded as it is read. Raises BadImage, and ValueError."""
    if not isinstance(task.source, Listings) or name not in task.sizes:
        return Loaded(task.load(name, preprocessing, size))
    listing, skipped = without_bad(task, name, how) if how.on_bad_image == "skip" else (task.source(name), 0)
    found = streamed(listing, preprocessing, size, how)
    return Loaded(whole(found) if found.size_bytes <= IN_MEMORY_BYTES else found, skipped)


def whole(found: Split | Streamed) -> Split:
    """All images in memory."""
    if isinstance(found, Split):
        return found
    images = room_for(len(found), found.size)
    start = 0
    for some, _ in found.batches():
        images[start : start + len(some)] = some
        start += len(some)
    return Split(images, found.labels)


def without_bad(task: Task, name: str, how: Reading) -> tuple[Listing, int]:
    """The images of a split that decode, and how many do not; a file is looked at once as long as it stays the same.

    Raises ValueError where nothing is left, or nothing of a class that is trained on, or too little for the shots.
    """
    source = task.source
    assert isinstance(source, Listings)
    listing, pool = source(name), source.pool(name)
    seen = scan(listing.folder, pool, how.processes)
    bad = {file for file in pool if file in seen.gone or seen.facts[file].problem}
    if bad.issuperset(listing.names):
        raise ValueError(f"none of the {len(listing)} images below {listing.folder} can be decoded")
    left, skipped = source.without(name, bad)
    lost = sorted({*listing.labels} - {*left.labels})
    if lost and (name == "train" or task.viewed):
        files = [file for file, label in zip(listing.names, listing.labels, strict=True) if label == lost[0]]
        why = "it is not there" if files[0] in seen.gone else seen.facts[files[0]].problem
        known = printable(task.names[lost[0]]) if task.names else str(lost[0])
        more = f", and of {len(lost) - 1} more classes," if len(lost) > 1 else ""
        raise ValueError(
            f"{task.name}: of class {known}{more} no image of the {name} split can be decoded; the first is "
            f"{printable(files[0])}: {why}; mend the images or take the class away"
        )
    return left, skipped


def mended(task: Task, skipped: Mapping[str, int]) -> bool:
    """Whether other images can be decoded than when so many of each split were left out; every file is looked at."""
    if not skipped or not isinstance(task.source, Listings):
        return False
    try:
        return any(without_bad(task, split, Reading())[1] != count for split, count in skipped.items())
    except ValueError:  # none can be decoded by now, so there is nothing to gain
        return False


def check_files(tasks: Iterable[Task], how: Reading, check: str) -> None:
    """Raise ValueError for what is seen of images before work starts; `check` is the call that names all of it.

    A file that is listed but cannot be opened is a BadImage, unless such files are skipped. Then one's own folder must
    have enough images left of every class.
    """
    for task in tasks:
        if not task.revision or not isinstance(task.source, Listings):
            continue
        if how.on_bad_image == "skip":
            for split in ("train", "test") if task.viewed else ():
                without_bad(task, split, how)
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
