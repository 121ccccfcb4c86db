"""Reads the list files of the circulating copies: which image has which label. Nothing of an image is opened.

A text list has a line an image, path, space, label; paths may hold spaces, so lines are split from the right. A JSON
list is either a list of one-entry objects or one object, from path to label.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = ["BadList", "Entry", "Lines", "read"]

Entry = tuple[str, int]  # a path below the folder of the images, and a label
MOST_BYTES = 1 << 30  # of a list; the longest published one has under ten million


class BadList(ValueError):
    """A list cannot be used; the message names the file and what is wrong with it."""


@dataclass(frozen=True)
class Lines:
    """What a list holds, and one sentence for each line that cannot be used."""

    entries: tuple[Entry, ...]
    problems: tuple[str, ...] = ()


def read(path: Path) -> Lines:
    """Read a list in the form that its name says, .json or text. Never raises: what is wrong is in `problems`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return Lines((), (f"{path.name}: too large for a list",))
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a text with a mark
        pairs = list(_json(text) if path.suffix == ".json" else _text(text))
    except OSError as error:
        return Lines((), (f"{path.name}: cannot be read ({error.strerror})",))
    except (ValueError, RecursionError) as error:
        return Lines((), (f"{path.name}: is no list ({str(error) or 'nested too deeply'})",))
    return _checked(path.name, pairs)


def _text(text: str) -> Iterator[tuple[Any, Any]]:
    for line in text.split("\n"):
        if line.strip():
            name, _, label = line.rstrip().rpartition(" ")
            yield name.rstrip(), label


def _json(text: str) -> Iterator[tuple[Any, Any]]:
    """Pairs as they stand, also those that a dictionary would swallow because a key comes twice."""
    document = json.loads(text, object_pairs_hook=lambda pairs: _Pairs(pairs))
    if isinstance(document, _Pairs):
        yield from document
        return
    if not isinstance(document, list) or not all(isinstance(item, _Pairs) and len(item) == 1 for item in document):
        raise ValueError("neither an object nor a list of one-entry objects")
    yield from (pair for item in document for pair in item)


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, repeated ones included."""


def _checked(list_name: str, pairs: Sequence[tuple[Any, Any]]) -> Lines:
    entries: list[Entry] = []
    problems: list[str] = []
    for number, (name, label) in enumerate(pairs, 1):
        if wrong := _wrong(name, label):
            problems.append(f"{list_name}, entry {number}: {wrong}")
        else:
            entries.append((name, int(label)))
    if not pairs:
        problems.append(f"{list_name}: is empty")
    return Lines(tuple(entries), tuple(problems))


def _wrong(name: Any, label: Any) -> str:
    """Say what is wrong with an entry, or nothing."""
    if not isinstance(name, str) or not name or "\0" in name:
        return f"no path in {name!r} {label!r}"
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return f"the path {name!r} is no name that a file can have here"
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        return f"the path {name!r} leaves the folder"
    digits = isinstance(label, str) and label.isascii() and label.isdigit() and len(label) < 10
    whole = isinstance(label, int) and not isinstance(label, bool) and 0 <= label < 10**9
    return "" if digits or whole else f"the label {label!r} of {name!r} is no class number"
