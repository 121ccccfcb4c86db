"""Finds a task in the copies that circulate: under any of its folder names, in any of the layouts, by looking.

Says where the lists and images lie and what is wrong with them; `located` makes a task of them.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from datasets.base import NotHere, Task
from datasets.listing import Listings, listing, revision
from datasets.lists import BadList, Entry, Lines, read

__all__ = ["Copy", "Layout", "find_copy", "folder_of", "located", "put_together"]


@dataclass(frozen=True)
class Layout:
    """How a copy names the lists of each split (several are read one after another) and the folder of its images."""

    name: str
    lists: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...] = (".", "images")  # the first below which the first listed image lies
    remapped: bool = False  # labels are any numbers; the classes are their places in order


@dataclass(frozen=True)
class Copy:
    """A task found on disk."""

    folder: Path
    layout: Layout

    def lists(self, split: str) -> list[Path]:
        """The files that list a split; none where the copy does without it."""
        paths = [self.folder / name for name in self.layout.lists.get(split, ())]
        return paths if all(path.is_file() for path in paths) else []


def folder_of(data: Path, below: Iterable[str], names: Iterable[str]) -> Path | None:
    """Give the first folder with one of the names, dashes and case aside, in `data` or in a folder `below` it."""
    wanted = [_plain(name) for name in names]
    for parent in (data / name for name in below):
        known = {_plain(name): parent / name for name in reversed(_folders(parent))}
        if found := [known[name] for name in wanted if name in known]:
            return found[0]
    return None


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _folders(parent: Path) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def find_copy(folder: Path | None, layouts: Iterable[Layout]) -> Copy | None:
    """Give the first layout whose training and test lists are all in the folder."""
    for layout in layouts if folder else ():
        copy = Copy(folder, layout) if folder else None
        if copy and copy.lists("train") and copy.lists("test"):
            return copy
    return None


def put_together(copy: Copy) -> dict[str, Lines]:
    """Read the lists of every split that there is, with labels as classes."""
    parts = {split: [_read(path) for path in copy.lists(split)] for split in copy.layout.lists}
    lines = {
        split: Lines(
            tuple(entry for part in found for entry in part.entries),
            tuple(problem for part in found for problem in part.problems),
        )
        for split, found in parts.items()
        if found
    }
    return _remapped(lines) if copy.layout.remapped else lines


def _read(path: Path) -> Lines:
    """Read each list once, as long as it stays the same: the test list of a set belongs to many tasks."""
    status = path.stat()
    return _read_once(path, status.st_size, status.st_mtime_ns)


@cache
def _read_once(path: Path, size_bytes: int, modified_ns: int) -> Lines:
    return read(path)


def _remapped(lines: Mapping[str, Lines]) -> dict[str, Lines]:
    labels = sorted({label for part in lines.values() for _, label in part.entries})
    place = {label: index for index, label in enumerate(labels)}
    return {
        split: Lines(tuple((name, place[label]) for name, label in part.entries), part.problems)
        for split, part in lines.items()
    }


def located(task: Task, copy: Copy | None, scored: bool = False) -> Task:
    """Give the task with the images of a copy; raises NotHere without one, BadList where its lists cannot be used."""
    if copy is None:
        raise NotHere(f"{task.name} is not there")
    lines = put_together(copy)
    splits = {}
    for split, part in lines.items():
        if problems := [*part.problems, *out_of_range(part.entries, task.classes)]:
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise BadList(f"{task.name} in {copy.folder}: {problems[0]}{more}; see: bench.py data check")
        splits[split] = listing(image_folder(copy, part.entries), part.entries)
    return dataclasses.replace(
        task,
        sizes={split: len(found) for split, found in splits.items()},
        source=Listings(splits),
        revision=revision(splits),
        scored=tuple(sorted(set(splits["test"].labels))) if scored else (),
    )


def out_of_range(entries: Iterable[Entry], classes: int) -> Iterator[str]:
    """Give a sentence for each label that is no class."""
    for name, label in entries:
        if label >= classes:
            yield f"the label {label} of {name} is not among 0..{classes - 1}"


def image_folder(copy: Copy, entries: Iterable[Entry]) -> Path:
    """Give the folder that the names of a list start from: the first below which one of the first few images lies."""
    names = [name for name, _ in list(entries)[:50]]
    for images in copy.layout.images:
        if any((copy.folder / images / name).is_file() for name in names):
            return copy.folder / images
    return copy.folder / copy.layout.images[0]
