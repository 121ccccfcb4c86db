"""Inspects image files on all cores, and remembers what it saw as long as a file keeps its size and time."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import PIL
from torch.utils.data import Dataset

from bench.data.loader import load_ahead
from datasets.files.inspection import Facts, inspect
from datasets.transforms.decoding import RULES
from results import write_whole

__all__ = ["Seen", "scan"]

CHUNK = 64  # files that a process inspects at a time
Stamp = tuple[int, int]  # bytes, and nanoseconds of the last change
Known = dict[str, tuple[Stamp, Facts]]


@dataclasses.dataclass(frozen=True)
class Seen:
    """The facts of every file that is there, by its name."""

    facts: dict[str, Facts]
    gone: tuple[str, ...]


def scan(folder: Path, names: Iterable[str], workers: int, advance: Callable[[int], None] = lambda _: None) -> Seen:
    """Inspect files below `folder`; `advance` is told how many more are done."""
    stamps = {name: _stamp(folder / name) for name in dict.fromkeys(names)}
    gone = tuple(name for name, stamp in stamps.items() if stamp is None)
    there = {name: stamp for name, stamp in stamps.items() if stamp is not None}
    store = _store(folder)
    known = _remembered(store)
    facts = {name: known[name][1] for name, stamp in there.items() if name in known and known[name][0] == stamp}
    advance(len(facts) + len(gone))
    left = [name for name in there if name not in facts]
    chunks = [left[start : start + CHUNK] for start in range(0, len(left), CHUNK)]
    try:
        seen = load_ahead(_Inspected(folder), chunks, min(workers, len(left) // CHUNK))
        for names_done, found in zip(chunks, seen, strict=True):
            facts |= zip(names_done, found, strict=True)
            advance(len(names_done))
    finally:  # also what was seen until someone stopped it
        if left:  # what could not be read, as a file of somebody else, may be next time
            _remember(store, known | {name: (there[name], fact) for name, fact in facts.items() if fact.digest})
    return Seen(facts, gone)


class _Inspected(Dataset[Facts]):
    """The facts of the files in a folder, by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitems__(self, names: Sequence[str]) -> list[Facts]:
        return [inspect(self.folder / name) for name in names]


def _stamp(path: Path) -> Stamp | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _store(folder: Path) -> Path:
    """Beside no data, which may be read-only and belongs to others."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    seen_by = f"{folder.resolve()} {RULES} {PIL.__version__}".encode(errors="surrogateescape")
    return base / "petl-bench" / f"{hashlib.sha256(seen_by).hexdigest()[:16]}.json"


def _remembered(store: Path) -> Known:
    try:
        rows = json.loads(store.read_bytes())
        return {name: ((size, time), Facts(*fact)) for name, (size, time, *fact) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):  # damaged: look again
        return {}


def _remember(store: Path, known: Known) -> None:
    rows = {name: [*stamp, *dataclasses.astuple(fact)] for name, (stamp, fact) in known.items()}
    with contextlib.suppress(OSError):  # a full disk only makes the next time slower
        write_whole(store, json.dumps(rows).encode())
