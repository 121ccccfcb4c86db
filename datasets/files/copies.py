"""Looks for a task in the copies that circulate: under any of its folder names, in any of the layouts.

A `Look` is what was seen, good or bad; `located` makes a task of it, or says why that cannot be.
"""

import dataclasses
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path

from datasets.base import NotHere, Suite, Task
from datasets.files.layout import Layout, Look
from datasets.files.listing import Listing, listing, revision
from datasets.files.lists import BadList, Entry, Lines, read

__all__ = [
    "check_call",
    "folders_of",
    "found_below",
    "images_of",
    "locate",
    "located",
    "look_at",
    "out_of_range",
    "read_lists",
]


def folders_of(data: Path, below: Iterable[str], names: Iterable[str]) -> list[Path]:
    """Give every folder with one of the names, dashes and case aside, in `data` or in a folder `below` it."""
    wanted = [_plain(name) for name in names]
    found: dict[Path, None] = {}
    for parent in (data / name for name in below):
        known = [(wanted.index(_plain(name)), name) for name in _folders(parent) if _plain(name) in wanted]
        found |= dict.fromkeys(parent / name for _, name in sorted(known))
    return list(found)


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")


def _folders(parent: Path) -> list[str]:
    try:
        with os.scandir(parent) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except OSError:
        return []


def look_at(folders: Sequence[Path], layouts: Sequence[Layout], training: tuple[str, ...] = ("train",)) -> Look:
    """Read the lists of the folder and layout of which most is there; the first ones win a tie."""
    if not folders:
        return Look(None, training=training)
    needed = (*training, "test")
    folder, layout = max(
        product(folders, layouts), key=lambda pair: sum(_there(pair[0], pair[1], split) for split in needed)
    )
    if not any(_there(folder, layout, split) for split in needed):
        return Look(folder, missing=tuple(name for split in needed for name in layouts[0].lists[split]))
    splits = {
        split: read_lists(folder, names) for split, names in layout.lists.items() if _there(folder, layout, split)
    }
    missing = [name for split in layout.lists for name in layout.lists[split] if not (folder / name).is_file()]
    images = {split: images_of(folder, part.entries, layout.images) for split, part in splits.items()}
    return Look(folder, layout.name, splits, images, tuple(dict.fromkeys(missing)), training)


def _there(folder: Path, layout: Layout, split: str) -> bool:
    return all((folder / name).is_file() for name in layout.lists[split])


def read_lists(folder: Path, names: Iterable[str]) -> Lines:
    """Read lists one after another, each but once as long as it stays the same: a test list may serve many tasks."""
    stated = [(folder / name, (folder / name).stat()) for name in names]
    parts = [_read(path, status.st_size, status.st_mtime_ns) for path, status in stated]
    return Lines(
        tuple(entry for part in parts for entry in part.entries),
        tuple(problem for part in parts for problem in part.problems),
    )


@cache
def _read(path: Path, size_bytes: int, modified_ns: int) -> Lines:
    return read(path)


def images_of(folder: Path, entries: Sequence[Entry], among: Sequence[str]) -> Path:
    """Give the folder that the names of a list start from: the first below which one of the first images lies."""
    names = [name for name, _ in entries[:50]]
    for images in among:
        if any((folder / images / name).is_file() for name in names):
            return folder / images
    return folder / among[0]


def locate(suite: Suite, tasks: Sequence[Task], data: Path) -> list[Task]:
    """Give tasks of a suite as they lie below `data`; raises ValueError, which names all that do not."""
    if suite.look is None:
        return list(tasks)
    found, missing = [], []
    for task in tasks:
        try:
            found.append(found_below(suite, task, data))
        except NotHere:
            missing.append(task.name)
    if missing:
        names = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        raise ValueError(
            f"{len(missing)} of {len(tasks)} tasks of {suite.name} are not below {data} ({names}); name the folder "
            f"with --data, choose others with --tasks, or see `{check_call(suite.name, data)}`"
            + (" and `python bench.py data fetch vtab`" if suite.name == "vtab" else "")
        )
    return found


def found_below(suite: Suite, task: Task, data: Path) -> Task:
    """Give the task as it lies below `data`; raises NotHere, and BadList with the call that names all that is wrong."""
    if suite.look is None:
        return task
    try:
        return located(task, suite.look(task, data))
    except BadList as error:
        raise BadList(f"{error}; see: {check_call(suite.name, data)}") from error


def check_call(suite: str, data: Path) -> str:
    """Give the call that says what is wrong with a suite's images, to be copied into a shell."""
    where = "" if suite.startswith("folder:") else f" --data {shlex.quote(str(data))}"
    return f"python bench.py data check {shlex.quote(suite)}{where}"


def located(task: Task, look: Look) -> Task:
    """Give the task with the images that were seen; raises NotHere, and BadList where a list cannot be used."""
    if not look.complete:
        raise NotHere(f"{task.name} is not there")
    splits = {split: _listing(task, look, split) for split in look.splits}
    seen = revision([splits[split] for split in (*look.training, "test")], look.names)
    draws = tuple(
        dataclasses.replace(_with(task, look, {**splits, "train": splits[split]}), revision=seen, draw=number)
        for number, split in enumerate(look.training)
    )
    return draws[0] if len(draws) == 1 else dataclasses.replace(draws[0], draws=draws)


def _with(task: Task, look: Look, splits: Mapping[str, Listing]) -> Task:
    sizes = {split: len(found) for split, found in splits.items()}
    other = any(sizes[split] != task.sizes[split] for split in ("train", "test"))
    counts = [f"{known['train']:,} + {known['test']:,}" for known in (sizes, task.sizes)]
    return dataclasses.replace(
        task,
        understood=" instead of ".join(counts) if other else task.understood,
        sizes=sizes,
        source=look.source(splits),
        names=look.names,
        scored=tuple(sorted(set(splits["test"].labels))) if task.masked else (),
    )


def _listing(task: Task, look: Look, split: str) -> Listing:
    lines = look.splits[split]
    if problems := [*lines.problems, *out_of_range(lines.entries, task.classes)]:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BadList(f"{task.name} in {look.folder}: {problems[0]}{more}")
    return listing(look.images[split], lines.entries)


def out_of_range(entries: Iterable[Entry], classes: int) -> Iterator[str]:
    """Give a sentence for each label that is no class."""
    for name, label in entries:
        if label >= classes:
            yield f"the label {label} of {name} is not among 0..{classes - 1}"
