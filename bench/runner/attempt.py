"""`attempt` does one run from its claim to its record, and turns whatever goes wrong into a value and a log."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import results
from bench.run import Run, record_of
from bench.runner.execute import Pruned, execute
from bench.runner.stale import lacking, stale
from bench.runner.tracker import tracked
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results.claims import Claims, claim_path

__all__ = ["Call", "Event", "Tries", "attempt", "log_path", "write_log"]

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

    def left(self, run: Run) -> bool:
        """Return whether a run may be tried (again)."""
        return not self._mark(self.failed, run).exists() and self.count(run) < TRIES

    def count(self, run: Run) -> int:
        """Return how often a run was begun and neither finished nor stopped."""
        file = self._mark(self.folder, run)
        return file.stat().st_size if file.exists() else 0

    @contextlib.contextmanager
    def counted(self, run: Run) -> Iterator[None]:
        """Count a try before it starts, since a process that is killed cannot count it afterwards.

        The count is taken back unless the run fails: also where Ctrl-C or Slurm stops it, since no run is at fault.
        """
        file = self._mark(self.folder, run)
        with file.open("ab") as counts:
            counts.write(b".")
        failed = False
        try:
            yield
        except Exception as error:
            failed = not isinstance(error, Pruned)
            raise
        finally:
            if not failed:
                file.unlink(missing_ok=True)

    def give_up(self, run: Run) -> None:
        """Let nobody try the run again; a disk that is full must not end the grid."""
        with contextlib.suppress(OSError):
            self.failed.mkdir(parents=True, exist_ok=True)
            self._mark(self.failed, run).touch()

    def _mark(self, folder: Path, run: Run) -> Path:
        return folder / hashlib.sha256(record_of(run).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Call:
    """What every process of one call works with: where results are, how runs are done, and who has tried which."""

    root: Path
    settings: RunSettings  # one worker's may name another device than the next one's
    tries: Tries
    claims: Claims = field(default_factory=Claims)
    start: float = 0.0  # share of each method's tasks at which a process begins, below 1


def attempt(run: Run, call: Call, tell: Callable[[Event | Epoch], None] = lambda _: None) -> Event:
    """Do the run unless it has a record or another process holds it, and say what came of it.

    All is done in one process, so that large data never travel. The record is written whole or not at all.
    """
    path = results.path_of(call.root, run.identity())
    try:
        if _finished(run, path, call):
            return Event("there")
        claim = call.claims.take(claim_path(call.root, path))
    except Exception as error:
        return _failure(error, run, call)
    if claim is None:
        return Event("held")
    with claim:
        try:
            if (why_not := _done_elsewhere(run, path, call)) is not None:
                return why_not
            with call.tries.counted(run):
                tell(Event("begun"))
                with tracked(run, call.root, call.settings.log, tell) as (watch, finish):
                    record = finish(execute(run, call.settings, watch))
                    ours = claim.ours()  # else this process stood still for so long that another began the run again
                    if ours:
                        _save(run, record, path, call.root)
        except Pruned as error:
            return Event("pruned", str(error))
        except Exception as error:  # the launcher alone catches everything: one bad run must not end the grid
            return _failure(error, run, call)
    return Event("done" if ours else "held")


def _done_elsewhere(run: Run, path: Path, call: Call) -> Event | None:
    """Return what other processes did with a run until its claim was had here; None where it is to be begun."""
    early_stop = call.settings.early_stop
    if _finished(run, path, call):
        return Event("there")
    if early_stop is not None and early_stop.was_ended(run):
        return Event("pruned", "ended early by another process")
    return None if call.tries.left(run) else Event("spent")


def log_path(root: Path, run: Run) -> Path:
    """Return where the log of a run is: it has the name of its record."""
    record = results.path_of(root, run.identity())
    return root / "logs" / record.relative_to(root / "runs").with_suffix(".log")


def write_log(root: Path, run: Run, text: str) -> None:
    """Keep what is known about a failure; a disk that takes no log must not end the grid."""
    with contextlib.suppress(OSError):
        results.write_whole(log_path(root, run), results.readable(text).encode())


def _finished(run: Run, path: Path, call: Call) -> bool:
    """Return whether the run has a record that can be trusted and is still its own."""
    old = _sound(path)
    return old is not None and not lacking(run, old, call.root, call.settings)


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


def _failure(error: Exception, run: Run, call: Call) -> Event:
    """Log an error while the claim is still held, so that no other process begins a run that failed."""
    write_log(call.root, run, traceback.format_exc())
    if _out_of_memory(error):
        return Event("lost", "out of memory on the CPU; use fewer workers or a smaller batch")
    call.tries.give_up(run)
    return Event("failed", _sentence(error))


def _out_of_memory(error: Exception) -> bool:
    """Return whether memory ran out on the CPU, where torch says it in words; on CUDA it is a record."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room, and the same call does this run again"
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{error.strerror}: {error.filename}; make the results folder writable and call again"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
