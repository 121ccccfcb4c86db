"""Puts what was downloaded into the folder of a suite: unpacked aside, looked at, and renamed in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from bench.errors import UsageError
from bench.prepare.archives import DamagedArchive, is_archive, unpack
from datasets import Suite

__all__ = ["put_in_place", "tasks_in"]


def put_in_place(suite: Suite, downloads: Path, target: Path, console: Console) -> None:
    """Unpack everything aside, then rename: a folder of the suite's name holds all that came. Raises UsageError."""
    unpacking = target.parent / f".{suite.name}-unpacking"
    shutil.rmtree(unpacking, ignore_errors=True)  # of a call that was killed
    unpacking.mkdir()
    try:
        _unpack_all(downloads, unpacking, console)
        folder = _folder_of_tasks(suite, unpacking)
        found = tasks_in(suite, folder)
        if not found:
            came = (
                ", ".join(sorted(str(path.relative_to(downloads)) for path in _published(downloads))[:5]) or "nothing"
            )
            raise UsageError(f"what was fetched holds no task of {suite.name} ({came}); the published copy has changed")
        if lost := [task.name for task in suite.tasks if task.name not in found]:
            text = f"{len(found)} of {len(suite.tasks)} tasks came, without {', '.join(lost)}"
            console.print(text, markup=False, soft_wrap=True)
        os.replace(folder, target)
    finally:
        shutil.rmtree(unpacking, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)


def tasks_in(suite: Suite, folder: Path) -> list[str]:
    """Return the tasks that lie in a folder itself, with something to train on and something to score."""
    looks = {task.name: suite.look(task, folder) for task in suite.tasks} if suite.look else {}
    return [name for name, look in looks.items() if look.complete and look.folder and look.folder.parent == folder]


def _folder_of_tasks(suite: Suite, folder: Path) -> Path:
    """Below folders that hold but one folder each, the first that holds tasks."""
    while not tasks_in(suite, folder) and len(folders := _folders(folder)) == 1:
        folder = folders[0]
    return folder


def _published(downloads: Path) -> list[Path]:
    files = [path for path in sorted(downloads.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [path for path in files if path.relative_to(downloads).parts[0] != ".cache"]  # the hub library's own


def _unpack_all(downloads: Path, unpacking: Path, console: Console) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for path in _published(downloads):
            relative = path.relative_to(downloads)
            if is_archive(path):
                bar = progress.add_task(f"unpacking {relative}", total=None)
                _unpack_one(path, unpacking / relative.parent, partial(progress.advance, bar))
            else:
                _linked(path, unpacking / relative)


def _linked(path: Path, other: Path) -> None:
    other.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, other)
    except FileExistsError as error:
        raise UsageError(
            f"{path.name} is also in an archive that was fetched; the published copy has changed"
        ) from error
    except OSError:  # some file systems have no links
        shutil.copyfile(path, other)


def _unpack_one(archive: Path, parent: Path, advance: Callable[[int], None]) -> None:
    """Into a folder of the name of the one folder in it, or else of its own; what is in a folder of tasks, `parent`."""
    aside = parent / f"{archive.name}.unpacking"
    aside.mkdir(parents=True)
    try:
        unpack(archive, aside, advance)
    except DamagedArchive as error:
        archive.unlink()  # so that the next call fetches it
        raise UsageError(f"{error} and has been removed; call again to fetch it anew") from error
    inner = _inner(aside)
    if any(_lists(folder) for folder in _folders(inner)):
        into = parent
    else:
        into = parent / (inner.name if inner != aside else archive.name.split(".")[0])
    _merge(archive, inner, into)
    shutil.rmtree(aside, ignore_errors=True)


def _merge(archive: Path, folder: Path, into: Path) -> None:
    """Move what is in `folder`; another archive may have had folders of the same names, but no file."""
    into.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        target = into / path.name
        if not target.exists():
            os.replace(path, target)
        elif path.is_dir() and target.is_dir():
            _merge(archive, path, target)
        elif path.is_dir() or target.is_dir() or path.read_bytes() != target.read_bytes():  # notes are often the same
            raise UsageError(
                f"{archive.name} holds {path.name}, which came otherwise before; fetch has no use for both"
            )


def _inner(folder: Path) -> Path:
    """Below folders that are all that another one holds beside notes, the last, or the first that may be a task."""
    while not _lists(folder) and len(folders := _folders(folder)) == 1 and folders[0].name != "images":
        folder = folders[0]
    return folder


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir())


def _lists(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file() and path.name.startswith(("test.", "train"))]
