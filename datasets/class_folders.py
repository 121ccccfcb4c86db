"""Reads anyone's image folder: which of its folders are splits, which are classes, and which files are no images."""

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from datasets.decoding import ENDINGS

__all__ = ["Classes", "classes_of", "parts_of"]

Classes = Mapping[str, Sequence[str]]  # from the name of a class to its images, below the folder
PARTS = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
PARTS |= dict.fromkeys(("val", "valid", "validation"), "val")  # names of folders, whatever their case
log = logging.getLogger(__name__)


def parts_of(root: Path) -> dict[str, Path]:
    """Give the folders of train, test and val by these words; none for a folder of classes. Raises ValueError."""
    parts: dict[str, Path] = {}
    for folder in _folders(root):
        part = PARTS.get(folder.name.lower())
        if part in parts:
            raise ValueError(f"suite folder: {parts[part].name!r} and {folder.name!r} in {root} are both for {part}")
        if part:
            parts[part] = folder
    if parts and "train" not in parts:
        there = ", ".join(sorted(folder.name for folder in parts.values()))
        raise ValueError(f"suite folder: {root} has {there} but no train; name the folder of the training images train")
    return parts


def classes_of(root: Path, folder: Path) -> Classes:
    """Give every folder below with the images anywhere in it; hidden files are left out. Raises ValueError."""
    found, ignored = {}, list[str]()
    for place in _folders(folder):
        if place.name.lower() in PARTS:
            raise ValueError(f"suite folder: {place} is named like a split, not like a class; give it another name")
        files = [path for path in place.rglob("*") if not path.name.startswith(".") and path.is_file()]
        images = sorted(str(path.relative_to(root)) for path in files if path.suffix.lower() in ENDINGS)
        if not images:
            raise ValueError(f"suite folder: {place} has no image that is read here ({', '.join(sorted(ENDINGS))})")
        ignored += [str(path.relative_to(root)) for path in files if path.suffix.lower() not in ENDINGS]
        found[place.name] = images
    if ignored:
        _say(str(root), len(ignored), min(ignored))
    return found


@cache
def _say(folder: str, count: int, first: str) -> None:
    """Once, though a folder is looked at several times."""
    more = f" and {count - 1} more files" if count > 1 else ""
    log.warning("left out, since they are no images by their endings: %s%s below %s", first, more, folder)


def _folders(parent: Path) -> list[Path]:
    return sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))
