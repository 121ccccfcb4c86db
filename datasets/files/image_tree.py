"""Walks through a folder of images as it lies on disk: what holds images, what is left out, what cannot be read.

Links are followed, and a link that leads back to where it lies ends there. Hidden folders and those that systems keep
for themselves are not entered, at any depth. What is there but cannot be read is told apart from what is not there.
"""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from datasets.transforms.decoding import ENDINGS

__all__ = ["Folder", "class_name", "counted", "shown", "tree"]

SYSTEM = frozenset(  # folders and files that no person made, without their case
    (
        *("__macosx", "@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin"),
        *("system volume information", "recycler", "lost+found", "found.000", "__pycache__"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    )
)


@dataclass
class Folder:
    """A folder with what lies directly in it; paths start at the root of the walk, whose own path is empty."""

    name: str
    path: str
    images: list[str] = field(default_factory=list)  # paths of files with the ending of an image, whatever they hold
    others: list[str] = field(default_factory=list)  # paths of other files
    unread: list[str] = field(default_factory=list)  # folders that may not be entered and links that lead nowhere
    folders: list["Folder"] = field(default_factory=list)  # by name
    hidden: list[str] = field(default_factory=list)  # names of folders that were not entered

    def walk(self) -> Iterator["Folder"]:
        """Give this folder and every one below."""
        yield self
        for folder in self.folders:
            yield from folder.walk()

    def all_images(self) -> list[str]:
        """Give the images anywhere below, sorted by path."""
        return sorted(image for folder in self.walk() for image in folder.images)

    def all_unread(self) -> list[str]:
        """Give what cannot be read anywhere below."""
        return sorted(path for folder in self.walk() for path in folder.unread)

    def all_others(self) -> list[str]:
        """Give the files anywhere below that are no images."""
        return sorted(path for folder in self.walk() for path in folder.others)

    @property
    def used(self) -> bool:
        """Whether there is an image below, or something that may be one."""
        return any(folder.images or folder.unread for folder in self.walk())

    @property
    def used_folders(self) -> list["Folder"]:
        """The folders directly below that hold images."""
        return [folder for folder in self.folders if folder.used]


def tree(root: Path) -> Folder:
    """Read the folder and everything below it; raises OSError where the root itself cannot be listed."""
    above = [root.resolve(), *root.resolve().parents]
    found = Folder(root.resolve().name, "")
    _fill(found, root, frozenset(map(_identity, above)))
    return found


def _identity(path: Path | str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _fill(folder: Folder, place: Path, above: frozenset[tuple[int, int]]) -> None:
    with os.scandir(place) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        kind, path = _kind(entry), os.path.join(folder.path, entry.name)
        if entry.name.startswith(".") or entry.name.lower() in SYSTEM:
            if kind == "folder":
                folder.hidden.append(entry.name)
        elif kind == "folder":
            _enter(folder, entry, path, above)
        else:
            {"image": folder.images, "other": folder.others, "lost": folder.unread}[kind].append(path)


def _enter(parent: Folder, entry: os.DirEntry[str], path: str, above: frozenset[tuple[int, int]]) -> None:
    try:
        identity = _identity(entry.path)
        if identity in above:
            return  # a link to a folder that it lies in
        folder = Folder(entry.name, path)
        _fill(folder, Path(entry.path), above | {identity})
        parent.folders.append(folder)
    except OSError:
        parent.unread.append(path)


def _kind(entry: os.DirEntry[str]) -> str:
    """A file is an image by its ending alone; a link to nothing without any ending was a folder, most likely."""
    try:
        if entry.is_dir():
            return "folder"
    except OSError:  # who may not look at it, or a link that leads to itself
        pass
    ending = os.path.splitext(entry.name)[1].lower()
    if ending in ENDINGS:
        return "image"
    lost = not ending and not os.path.exists(entry.path)
    return "lost" if lost else "other"


def shown(name: str) -> str:
    """Give a name as text that can be printed: bytes that are no UTF-8 and control characters become escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(files: Iterable[str]) -> str:
    """Say how many files there are of which ending: "3 files (.txt, .xml)"; nothing for none."""
    endings = Counter(os.path.splitext(file)[1].lower() or "no ending" for file in files)
    if not endings:
        return ""
    total = endings.total()
    kinds = [shown(ending) for ending, _ in endings.most_common(4)] + (["…"] if len(endings) > 4 else [])
    return f"{total} file{'s' if total > 1 else ''} ({', '.join(kinds)})"


def class_name(name: str) -> str:
    """Give the name of a folder as that of a class: one spelling, NFC, for all that look the same, and always text."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "backslashreplace"))
