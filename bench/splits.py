"""Loads the splits of a task for a run: images on disk by many processes, without those that are to be skipped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.data_scan import scan
from bench.execution import Reading
from bench.streamed import Streamed, room_for, streamed
from datasets import Preprocessing, Split, Task
from datasets.decoding import BadImage
from datasets.listing import Listing, Listings

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
    source = task.source(name)
    listing, skipped = without_bad(source, how) if how.on_bad_image == "skip" else (source, 0)
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


def without_bad(listing: Listing, how: Reading) -> tuple[Listing, int]:
    """The images that decode, and how many do not; every file is looked at, once as long as it stays the same."""
    seen = scan(listing.folder, listing.names, how.processes)
    bad = [place for place, name in enumerate(listing.names) if name in seen.gone or seen.facts[name].problem]
    if len(bad) == len(listing):
        raise ValueError(f"none of the {len(listing)} images below {listing.folder} can be decoded")
    return listing.without(bad), len(bad)


def mended(task: Task, skipped: Mapping[str, int]) -> bool:
    """Whether other images can be decoded than when so many of each split were left out; every file is looked at."""
    if not skipped or not isinstance(task.source, Listings):
        return False
    try:
        return any(without_bad(task.source(split), Reading())[1] != count for split, count in skipped.items())
    except ValueError:  # none can be decoded by now, so there is nothing to gain
        return False


def check_files(tasks: Iterable[Task]) -> None:
    """Raise BadImage for the first file that is listed but not there, before work starts."""
    for task in tasks:
        for split in ("train", "test"):
            source = task.source(split) if task.revision else None
            if isinstance(source, Listing) and (gone := source.gone):
                more = f" and {len(gone) - 1} more" if len(gone) > 1 else ""
                raise BadImage(
                    f"{task.name}: {source.folder / gone[0]}{more} listed but not there; mend the copy, "
                    "or leave them out with --on-bad-image skip"
                )
