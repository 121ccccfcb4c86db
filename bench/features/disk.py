"""Frozen states on disk: memory-mapped, checksummed, bounded, and shared by the processes of a machine.

A state is a file of numbers (NumPy's format, no pickles) that is called by its content, and a note that is called by
what it is and says which file that is. Both are written whole, so two processes that write the same only do it twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.features.memory import Held
from results import readable, slug, write_whole

__all__ = ["OnDisk"]

SPARE = 2**30  # bytes of the disk that stay free
ABANDONED = 24 * 3600  # seconds after which an unfinished file has no writer any more
RAW = {torch.bfloat16: torch.int16}  # types that NumPy lacks, by the one whose bytes they borrow


class OnDisk:
    """States in `folder`, together at most `limit` bytes; what was used longest ago goes first.

    Those kept before `since` (seconds, as of time.time) count as missing.
    """

    word = "disk"

    def __init__(self, folder: Path, limit: int, since: float = 0.0) -> None:
        self.folder, self.limit, self.since = folder, limit, since
        self._open: dict[tuple[Hashable, str], tuple[Path, Tensor]] = {}  # mapped; what is mapped is not freed
        self._unfinished: dict[tuple[Hashable, str], Path] = {}

    def get(self, key: Hashable, name: str) -> Tensor | None:
        """Return the state, mapped and checked once, or None; a damaged one is removed."""
        if (key, name) not in self._open:
            note = self._note(key, name)
            if _used(note) < self.since:
                return None
            try:
                content = json.loads(note.read_bytes())
                file = self.folder / content["file"]
                _check(file, content["sha256"])
                self._open[key, name] = file, _mapped(file, getattr(torch, content["type"]))
            except FileNotFoundError:
                return None
            except (OSError, ValueError, KeyError, TypeError):
                note.unlink(missing_ok=True)
                return None
        return self._open[key, name][1]

    def make_room(self, size: int, held: Held) -> bool:
        """Remove files that were used longest ago, of any process, until `size` bytes fit."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            return self._make_room(size, held)
        except OSError:  # a folder that cannot be written to keeps nothing
            return False

    def _make_room(self, size: int, held: Held) -> bool:
        """Remove files only if `size` bytes fit then: what this process holds stays mapped, and so takes its bytes."""
        mapped = {file for (key, _), (file, _) in self._open.items() if held(key)}
        files = {file: _size(file) for file in sorted(self.folder.glob("*.npy"), key=_used)}
        spare = [file for file in files if file not in mapped]
        taken = sum(files.values()) + sum(_size(file) for file in self.folder.glob("*.tmp"))  # being written by others
        free = shutil.disk_usage(self.folder).free - SPARE
        removable = sum(files[file] for file in spare)
        if taken - removable + size > self.limit or free + removable <= size:
            return False
        for file in spare:
            if taken + size <= self.limit and shutil.disk_usage(self.folder).free - SPARE > size:
                break
            taken -= files[file]
            self._remove(file)
        return shutil.disk_usage(self.folder).free - SPARE > size

    def _remove(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._open = {pair: there for pair, there in self._open.items() if there[0] != file}

    def blank(self, key: Hashable, name: str, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Make a mapped file under a temporary name."""
        handle, path = tempfile.mkstemp(dir=self.folder, suffix=".tmp")
        os.close(handle)
        self._unfinished[key, name] = Path(path)
        numbers = np.lib.format.open_memmap(path, "w+", _numpy(kind), shape)
        with open(path, "rb+") as file:  # a disk that is full must show now, not while the numbers are written
            os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
        return torch.from_numpy(numbers).view(kind)

    def keep(self, key: Hashable, name: str, filled: Tensor) -> Tensor:
        """Call the file by its content, then write the note, without which nobody finds it."""
        path, kind = self._unfinished.pop((key, name)), str(filled.dtype).removeprefix("torch.")
        with path.open("rb+") as file:
            os.fsync(file.fileno())
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        final, mapped = self.folder / f"{digest[:24]}.npy", _mapped(path, filled.dtype)
        os.replace(path, final)  # another process may remove it at once; what is mapped stays
        about = {"file": final.name, "sha256": digest, "type": kind, "state": name, "of": str(key)}
        write_whole(self._note(key, name), json.dumps(about, indent=1).encode())
        self._open[key, name] = final, mapped
        return mapped

    def abandon(self) -> None:
        """Remove what was not finished."""
        while self._unfinished:
            self._unfinished.popitem()[1].unlink(missing_ok=True)

    def _note(self, key: Hashable, name: str) -> Path:
        digest = hashlib.sha256(readable(str(key)).encode()).hexdigest()[:24]
        return self.folder / f"{digest}-{slug(name)}.json"

    def _sweep(self) -> None:
        """Remove what processes left that were killed, and notes whose files are gone; unmap what others removed."""
        self._open = {pair: there for pair, there in self._open.items() if there[0].is_file()}
        for file in self.folder.glob("*.tmp"):
            if time.time() - _used(file) > ABANDONED:
                file.unlink(missing_ok=True)
        for note in self.folder.glob("*.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                if not (self.folder / json.loads(note.read_bytes())["file"]).is_file():
                    note.unlink(missing_ok=True)


def _check(path: Path, digest: str) -> None:
    """Remove a file that does not hold what was put there, and raise ValueError."""
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            path.unlink(missing_ok=True)
            raise ValueError("its content does not match its checksum")
    os.utime(path)  # used now


def _mapped(path: Path, kind: torch.dtype) -> Tensor:
    """Return the numbers of a file; one who writes to them gets a copy of his own."""
    return torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False)).view(kind)


def _numpy(kind: torch.dtype) -> np.dtype[Any]:
    return torch.empty(0, dtype=RAW.get(kind, kind)).numpy().dtype


def _used(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # another process removed it
        return 0.0


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
