"""Gets a suite that is published on the hub: downloads what is missing and puts it in place (placing.py)."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download
from rich.console import Console

import datasets
from bench.errors import UsageError
from bench.names import check
from bench.prepare.placing import put_in_place, tasks_in
from methods.backbones.downloads import FAILURES, reason_of, remedy_of
from results import numbered

__all__ = ["fetch"]

PUBLISHED = {"vtab": "iridescentttt/vtab-1k-png"}  # dataset repositories on the hub: the lossless export
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)  # faults of the disk, not of the network
ELSEWHERE = {
    "fgvc": "images come from the sets' own pages, the JSON splits from VPT's; put each set in DATA/fgvc/<set>",
    "few_shot": "images come from the sets' own pages, the lists from NOAH's; put each set in DATA/few-shot/<set>",
    "domain": "images come from the sets' own pages, the lists from NOAH's; put each set in DATA/few-shot/<set>",
}


def fetch(suite: str, data: Path, console: Console) -> Path:
    """Return the folder of the suite, now that it is there. A call that was stopped resumes. Raises UsageError."""
    _check_name(suite)
    target, downloads = data / suite, data / f".{suite}-download"
    if _there(suite, target, console):
        return target
    try:
        data.mkdir(parents=True, exist_ok=True)
        with _alone(data / f".{suite}-fetch.lock"):
            if not _there(suite, target, console):  # another process may just have finished
                _download(PUBLISHED[suite], downloads, console)
                put_in_place(datasets.suite(suite), downloads, target, console)
    except OSError as error:
        why = error.strerror or _first_line(error)
        raise UsageError(f"{suite} could not be fetched into {data}: {why}; call again to go on") from error
    return target


def _there(suite: str, target: Path, console: Console) -> bool:
    """Return whether the folder holds tasks. An empty one may be put in its place."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return False
    if not tasks_in(datasets.suite(suite), target):
        raise UsageError(f"{target} is there but no task of {suite} is in it; remove it, or choose another --data")
    console.print(f"{target} is there already; remove it to fetch it anew", markup=False, soft_wrap=True)
    return True


def _check_name(suite: str) -> None:
    name = suite.partition(":")[0]
    if name in PUBLISHED and name == suite:
        return
    if name in ELSEWHERE:
        raise UsageError(f"suite {name} cannot be fetched: {ELSEWHERE[name]}")
    check("suite", [name], datasets.SUITES)
    raise UsageError(f"suite {name} has nothing to fetch; {', '.join(PUBLISHED)} can be fetched")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another process is fetching into {lock.parent}; wait for it") from error
        if os.fstat(file.fileno()).st_nlink == 0:  # whoever had it is done and has removed it
            raise UsageError(f"another process was fetching into {lock.parent} just now; call again")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _download(repository: str, folder: Path, console: Console) -> None:
    """Every file of the repository as it is now, and as long as it should be; files that are complete are kept."""
    mirror = os.environ.get("HF_ENDPOINT") or None  # as the library does, but at the time of the call
    try:
        info = HfApi(endpoint=mirror).dataset_info(repository, files_metadata=True)
        files = numbered(len(info.siblings or []), "file")
        console.print(f"fetching {repository} ({files})", markup=False, soft_wrap=True)
        snapshot_download(repository, repo_type="dataset", revision=info.sha, local_dir=folder, endpoint=mirror)
    except FAILURES as error:
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise UsageError(f"{repository} could not be fetched ({reason_of(error)}); {remedy_of(error)}") from error
    for file in info.siblings or []:  # without a connection the library is content with what is there
        path = folder / file.rfilename
        if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
            raise UsageError(f"{file.rfilename} of {repository} is not complete; call again to go on")
