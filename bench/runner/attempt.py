"""`attempt` does one run from its claim to its record, and turns whatever goes wrong into a value and a log."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import results
from bench.run import Run
from bench.runner.execute import Pruned, execute
from bench.runner.stale import lacking, stale
from bench.runner.tracker import tracked
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results.claims import Claim, Claims, claim_path

__all__ = ["Event", "Tries", "attempt", "log_path", "write_log"]

TRIES = 2  # of a run that is lost with its process


@dataclass(frozen=True)
class Event:
    """What has happened to a run.

    begun, done: it is being trained now, and has its record; there: it has a record already; held: another process is
    at it; spent: this call has tried it in vain; failed: it raised, and is not tried again; lost: there was no memory
    left, so that it is worth another try in another process; pruned: it was ended early, and has no record.
    """

    what: Literal["begun", "done", "there", "held", "spent", "failed", "lost", "pruned"]
    sentence: str = ""


@dataclass(frozen=True)
class Tries:
    """Counts how often the processes of one call began each run, in a folder that they share.

    A count is read and written by whoever holds the claim of the run, so it needs no lock.
    """

    folder: Path  # of files with one byte for each try
    failed: Path  # folder of empty files, one for each run that is not to be tried again; other calls may share it

    def left(self, run: str) -> bool:
        """Return whether a run may be tried (again)."""
        return not (self.failed / _key(run)).exists() and self.count(run) < TRIES

    def count(self, run: str) -> int:
        """Return how often a run was begun and neither finished nor stopped."""
        file = self.folder / _key(run)
        return file.stat().st_size if file.exists() else 0

    def begin(self, run: str) -> None:
        """Count a try before it starts, since a process that is killed cannot count it afterwards."""
        with (self.folder / _key(run)).open("ab") as file:
            file.write(b".")

    def forget(self, run: str) -> None:
        """Take back what was counted."""
        (self.folder / _key(run)).unlink(missing_ok=True)

    def give_up(self, run: str) -> None:
        """Let nobody try the run again; a disk that is full must not end the grid."""
        with contextlib.suppress(OSError):
            self.failed.mkdir(parents=True, exist_ok=True)
            (self.failed / _key(run)).touch()


def attempt(
    run: Run,
    root: Path,
    settings: RunSettings,
    claims: Claims,
    tries: Tries,
    tell: Callable[[Event | Epoch], None] = lambda _: None,
) -> Event:
    """Do the run unless it has a record or another process holds it, and say what came of it.

    All is done in one process, so that large data never travel. The record is written whole or not at all.
    """
    path = results.path_of(root, run.identity())
    try:
        if _finished(run, path, root, settings):
            return Event("there")
        claim = claims.take(claim_path(root, path))
    except Exception as error:
        return _failure(error, run, root, tries)
    if claim is None:
        return Event("held")
    with claim:
        return _claimed(run, path, root, settings, claim, tries, tell)


def _claimed(
    run: Run,
    path: Path,
    root: Path,
    settings: RunSettings,
    claim: Claim,
    tries: Tries,
    tell: Callable[[Event | Epoch], None],
) -> Event:
    name = str(path.relative_to(root))
    try:
        if _finished(run, path, root, settings):  # by another process, since the look before
            return Event("there")
        if settings.early_stop is not None and settings.early_stop.over(run):
            return Event("pruned", "ended early by another process")
        if not tries.left(name):
            return Event("spent")
        tries.begin(name)
        tell(Event("begun"))
        with tracked(run, root, settings.log, tell) as (watch, finish):
            record = finish(execute(run, settings, watch))
            kept = claim.ours()  # else this process stood still for so long that another began the run again
            if kept:
                _save(run, record, path, root)
    except Pruned as error:
        tries.forget(name)
        return Event("pruned", str(error))
    except Exception as error:  # the launcher alone catches everything: one bad run must not end the grid
        return _failure(error, run, root, tries)
    except BaseException:  # Ctrl-C or Slurm stops the process, and no run is at fault
        tries.forget(name)
        raise
    tries.forget(name)
    return Event("done" if kept else "held")


def log_path(root: Path, run: Run) -> Path:
    """Return where the log of a run is: it has the name of its record."""
    record = results.path_of(root, run.identity())
    return root / "logs" / record.relative_to(root / "runs").with_suffix(".log")


def write_log(root: Path, run: Run, text: str) -> None:
    """Keep what is known about a failure; a disk that takes no log must not end the grid."""
    with contextlib.suppress(OSError):
        results.write_whole(log_path(root, run), results.readable(text).encode())


def _finished(run: Run, path: Path, root: Path, settings: RunSettings) -> bool:
    """Return whether the run has a record that can be trusted and is still its own."""
    old = _sound(path)
    return old is not None and not lacking(run, old, root, settings.keep.kinds, settings.stale)


def _sound(path: Path) -> results.Record | None:
    try:
        return results.load(path) if path.is_file() else None
    except results.Damaged:
        return None


def _save(run: Run, record: results.Record, path: Path, root: Path) -> None:
    """Write the record; an old one that is damaged or stale can still be looked at."""
    if path.is_file():
        old = _sound(path)
        if old is None or stale(run, old):
            results.set_aside(path, "damaged" if old is None else "stale")
    results.save(root, record)
    results.drop_unkept(root, record)


def _failure(error: Exception, run: Run, root: Path, tries: Tries) -> Event:
    """Log an error while the claim is still held, so that no other process begins a run that failed."""
    write_log(root, run, traceback.format_exc())
    if _out_of_memory(error):
        return Event("lost", "out of memory on the CPU; use fewer workers or a smaller batch")
    tries.give_up(str(results.path_of(Path(), run.identity())))
    return Event("failed", _sentence(error))


def _out_of_memory(error: Exception) -> bool:
    """On the CPU, where torch says it in words; on CUDA it is a record."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room, and the same call does this run again"
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{error.strerror}: {error.filename}; make the results folder writable and call again"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"


def _key(run: str) -> str:
    return hashlib.sha256(run.encode()).hexdigest()[:16]
