"""Gets a suite that is published on the hub: downloads what is missing, unpacks it, puts it in place in one step."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined] # the base of all that a connection raises
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import datasets
from bench.archives import DamagedArchive, is_archive, unpack
from bench.errors import WrongCall

__all__ = ["fetch"]

PUBLISHED = {"vtab": "iridescentttt/vtab-1k-png"}  # dataset repositories on the hub: the lossless export
ELSEWHERE = {
    "fgvc": "images come from the sets' own pages, the JSON splits from VPT's; put each set in DATA/fgvc/<set>",
    "few_shot": "images come from the sets' own pages, the lists from NOAH's; put each set in DATA/few-shot/<set>",
    "domain": "images come from the sets' own pages, the lists from NOAH's; put each set in DATA/few-shot/<set>",
}


def fetch(suite: str, data: Path, console: Console) -> Path:
    """The folder of the suite, now that it is there. A call that was stopped goes on where it was. Raises WrongCall."""
    _check_name(suite)
    place, downloads = data / suite, data / f".{suite}-download"
    if place.exists():
        console.print(f"{place} is there already; remove it to fetch it anew", markup=False, soft_wrap=True)
        return place
    try:
        data.mkdir(parents=True, exist_ok=True)
        with _alone(data / f".{suite}-fetch.lock"):
            _download(PUBLISHED[suite], downloads, console)
            _put_in_place(downloads, data / f".{suite}-unpacking", place, console)
    except HTTPError as error:
        raise WrongCall(
            f"{PUBLISHED[suite]} could not be fetched ({_first_line(error)}); call again to go on, or name a mirror in "
            "the environment variable HF_ENDPOINT"
        ) from error
    except OSError as error:
        why = error.strerror or _first_line(error)
        raise WrongCall(f"{suite} could not be fetched into {data}: {why}; call again to go on") from error
    return place


def _check_name(suite: str) -> None:
    name = suite.partition(":")[0]
    if name in PUBLISHED and name == suite:
        return
    if name in ELSEWHERE:
        raise WrongCall(f"suite {name} cannot be fetched: {ELSEWHERE[name]}")
    if name in datasets.SUITES:
        raise WrongCall(f"suite {name} has nothing to fetch")
    raise WrongCall(f"no suite {name!r} to fetch; known: {', '.join(PUBLISHED)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise WrongCall(f"another process is fetching into {lock.parent}; wait for it") from error
        yield
        lock.unlink()


def _download(repository: str, folder: Path, console: Console) -> None:
    """Every file of the repository as it is now, and as long as it should be; files that are complete are kept."""
    mirror = os.environ.get("HF_ENDPOINT")  # as the library does, but at the time of the call
    info = HfApi(endpoint=mirror).dataset_info(repository, files_metadata=True)
    console.print(f"fetching {repository} ({len(info.siblings or [])} files)", markup=False, soft_wrap=True)
    snapshot_download(repository, repo_type="dataset", revision=info.sha, local_dir=folder, endpoint=mirror)
    for file in info.siblings or []:  # without a connection the library is content with what is there
        path = folder / file.rfilename
        if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
            raise WrongCall(f"{file.rfilename} of {repository} is not complete; call again to go on")


def _put_in_place(downloads: Path, unpacking: Path, place: Path, console: Console) -> None:
    """Unpack everything aside, then rename: a folder of the suite's name is complete."""
    shutil.rmtree(unpacking, ignore_errors=True)  # of a call that was stopped
    unpacking.mkdir()
    files = [path for path in sorted(downloads.rglob("*")) if path.is_file() and not path.is_symlink()]
    published = [path for path in files if path.relative_to(downloads).parts[0] != ".cache"]  # the hub library's own
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for path in published:
            relative = path.relative_to(downloads)
            if is_archive(path):
                bar = progress.add_task(f"unpacking {relative}", total=None)
                _unpack_one(path, unpacking / relative.parent, partial(progress.advance, bar))
            else:
                _linked(path, unpacking / relative)
    os.replace(_tasks_in(unpacking), place)
    shutil.rmtree(unpacking, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)


def _linked(path: Path, other: Path) -> None:
    other.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(path, other)
    except OSError:  # some file systems have no links
        shutil.copyfile(path, other)


def _unpack_one(archive: Path, parent: Path, advance: Callable[[int], None]) -> None:
    """Into a folder of the archive's name, unless it holds that folder, or another single one, itself."""
    folder = parent / archive.name.split(".")[0]
    aside = parent / f"{folder.name}.unpacking"
    aside.mkdir(parents=True)
    try:
        unpack(archive, aside, advance)
    except DamagedArchive as error:
        archive.unlink()  # so that the next call fetches it
        raise WrongCall(f"{error} and has been removed; call again to fetch it anew") from error
    inner = _inner(aside)
    os.replace(inner, parent / inner.name if inner != aside else folder)
    shutil.rmtree(aside, ignore_errors=True)


def _tasks_in(folder: Path) -> Path:
    """The folder whose folders are tasks: this one, or the single one in it that is no task itself."""
    inner = _inner(folder)
    return folder if _lists(inner) else inner


def _inner(folder: Path) -> Path:
    """The folder itself, or the one folder that is all it holds beside notes."""
    folders = [path for path in folder.iterdir() if path.is_dir()]
    return folders[0] if len(folders) == 1 and not _lists(folder) and folders[0].name != "images" else folder


def _lists(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.name.startswith(("test.", "train"))]
