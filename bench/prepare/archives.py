"""Unpacks archives of any origin: plain files and folders below one folder, and never more than there is room for."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any

from bench.errors import UsageError

__all__ = ["DamagedArchive", "is_archive", "unpack"]

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
SPARE_BYTES = 2**28  # of the disk, left free
PIECE = 2**20
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, LZMAError, EOFError, RuntimeError, NotImplementedError)


class DamagedArchive(UsageError):
    """The archive is not what was published; fetching it again may help."""


@dataclass(frozen=True)
class Member:
    """One file or folder of an archive."""

    name: str
    kind: str  # "file", "folder", or what it is instead
    size_bytes: int
    content: Callable[[], IO[bytes] | None]


def is_archive(path: Path) -> bool:
    """Return whether the name is that of an archive."""
    return path.name.lower().endswith(ENDINGS)


def unpack(archive: Path, folder: Path, advance: Callable[[int], None] = lambda _: None) -> None:
    """Unpack below `folder`; `advance` is told the bytes written. Raises UsageError, perhaps late."""
    try:
        with closing(_opened(archive)) as opened:
            members = list(_zipped(opened) if isinstance(opened, zipfile.ZipFile) else _tarred(opened))
            _check(archive, members, folder)
            if not any(member.kind == "file" for member in members):
                raise EOFError("it holds no file")
            for member in members:
                _write(member, folder / member.name, advance)
    except DAMAGED as error:
        raise DamagedArchive(f"{archive.name} is damaged ({str(error) or type(error).__name__})") from error
    except OSError as error:
        raise UsageError(f"{archive.name} cannot be unpacked: {error.strerror or error}") from error


def _opened(archive: Path) -> zipfile.ZipFile | tarfile.TarFile:
    return zipfile.ZipFile(archive) if archive.name.lower().endswith(".zip") else tarfile.open(archive)


def _zipped(opened: zipfile.ZipFile) -> Iterator[Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16
        plain = not mode or stat.S_IFMT(mode) in (0, stat.S_IFREG, stat.S_IFDIR)
        kind = ("folder" if info.is_dir() else "file") if plain else "a link or a device"
        yield Member(info.filename, kind, info.file_size, lambda info=info: opened.open(info))  # type: ignore[misc]


def _tarred(opened: tarfile.TarFile) -> Iterator[Member]:
    for info in opened:
        kind = "file" if info.isreg() else "folder" if info.isdir() else "a link or a device"
        size_bytes = info.size if info.isreg() else 0
        yield Member(info.name, kind, size_bytes, lambda info=info: opened.extractfile(info))  # type: ignore[misc]


def _check(archive: Path, members: list[Member], folder: Path) -> None:
    """Raise UsageError before anything is written."""
    for member in members:
        path = PurePosixPath(member.name.replace("\\", "/"))
        absolute = path.is_absolute() or PureWindowsPath(member.name).drive
        if absolute or ".." in path.parts or "\0" in member.name or not path.name:
            if member.kind == "folder" and str(path) == ".":
                continue
            raise UsageError(f"{archive.name} is refused: its member {member.name!r} would leave the folder")
        if member.kind not in ("file", "folder"):
            raise UsageError(f"{archive.name} is refused: its member {member.name!r} is {member.kind}")
    needed, free = sum(member.size_bytes for member in members), shutil.disk_usage(folder).free
    if needed + SPARE_BYTES > free:
        raise UsageError(
            f"{archive.name} needs {needed / 2**30:.1f} GiB unpacked but {free / 2**30:.1f} GiB are free in {folder}; "
            "make room, or choose another folder with --data"
        )


def _write(member: Member, path: Path, advance: Callable[[int], None]) -> None:
    if member.kind == "folder":
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source: Any = member.content()
    with source, path.open("xb") as file:  # a name that comes twice is an error
        left = member.size_bytes
        while piece := source.read(min(PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise zipfile.BadZipFile(f"{member.name} is larger than it says")
            file.write(piece)
            advance(len(piece))
        if left:
            raise zipfile.BadZipFile(f"{member.name} is cut off")
