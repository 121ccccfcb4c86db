"""Finds image files that have several names, by links or hard links, so that each counts once in its class."""

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

from datasets.files.class_folders import Classes, Layout, Unclear
from datasets.files.image_tree import shown

__all__ = ["counted_once", "same_file"]

File = tuple[int, int, int]  # device, number there, bytes: the same for all names of a file


def counted_once(root: Path, layout: Layout) -> tuple[Layout, int]:
    """Give the layout with one name for each file of a class, and how many files are in several classes.

    Raises Unclear where a file is trained on by one name and scored by another.
    """
    train, trained_on = _once(root, layout.train)
    if layout.val is not None:
        layout = dataclasses.replace(layout, val=_once(root, layout.val)[0])
    if layout.test is None:
        return dataclasses.replace(layout, train=train), _shared(trained_on.values())
    test, scored = _once(root, layout.test)
    both = {file: name for names in trained_on.values() for file, name in names.items()}
    for file, name in (pair for names in scored.values() for pair in names.items()):
        if file in both:
            raise Unclear(f"{shown(both[file])} and {shown(name)} are one file, which would be trained on and scored")
    return dataclasses.replace(layout, train=train, test=test), _shared(trained_on.values()) + _shared(scored.values())


def same_file(root: Path, first: Iterable[str], second: Iterable[str]) -> tuple[str, str] | None:
    """Return two names of one file, one among each; None where the files are different ones."""
    known = {file: name for name in first if (file := _file(root / name)) is not None}
    return next(((known[file], name) for name in second if (file := _file(root / name)) in known), None)


def _once(root: Path, classes: Classes) -> tuple[Classes, dict[str, dict[File, str]]]:
    """Keep the first name of each file in each class, one without links if there is any; return them by file too."""
    images: dict[str, list[str]] = {}
    again: list[str] = []
    named: dict[str, dict[File, str]] = {}
    for name, paths in classes.images.items():
        found = named[name] = {}
        left_out: set[str] = set()
        for path in paths:
            file = _file(root / path)
            if file is None:
                continue
            if file not in found:
                found[file] = path
            elif _through_link(root, found[file]) and not _through_link(root, path):
                left_out.add(found[file])
                found[file] = path
            else:
                left_out.add(path)
        images[name] = [path for path in paths if path not in left_out]
        again += sorted(left_out)
    return dataclasses.replace(classes, images=images, again=again), named


def _file(path: Path) -> File | None:
    """Return what the names of a file share; None if it is not there, or where the file system numbers nothing."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size) if status.st_ino else None


def _through_link(root: Path, path: str) -> bool:
    return os.path.realpath(root / path) != os.path.join(os.path.realpath(root), path)


def _shared(classes: Iterable[dict[File, str]]) -> int:
    """Count the files that are in more than one class."""
    once, several = set[File](), set[File]()
    for files in classes:
        several |= once & files.keys()
        once |= files.keys()
    return len(several)
