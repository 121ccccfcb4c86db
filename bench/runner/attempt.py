"""What came of a run, as a value that goes from process to process; failures are logged where they happen."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import results
from bench.run import Run
from bench.runner.perform import What, perform
from bench.settings import Execution
from bench.train.loop import Epoch

__all__ = ["Event", "Failed", "Finished", "Lost", "attempt", "log_path", "write_log"]


@dataclass(frozen=True)
class Finished:
    """The run has a record, or is held by another process."""

    what: What


@dataclass(frozen=True)
class Failed:
    """The run raised; it is not tried again in this grid."""

    sentence: str


@dataclass(frozen=True)
class Lost:
    """The process that did the run is gone, hangs, or has no memory left: the run is worth another try elsewhere."""

    sentence: str


Event = Finished | Failed | Lost


def attempt(
    run: Run, root: Path, how: Execution, watch: Callable[[Epoch], None], over: str = "", force: bool = False
) -> Event:
    """Perform the run; the launcher alone catches everything, because one bad run must not end the grid."""
    try:
        return Finished(perform(run, root, how, watch, over, force))
    except Exception as error:
        write_log(root, run, traceback.format_exc())
        return Lost(_sentence(error)) if _out_of_memory(error) else Failed(_sentence(error))


def log_path(root: Path, run: Run) -> Path:
    """The log of a run has the name of its record."""
    record = results.path_of(root, run.identity())
    return root / "logs" / record.relative_to(root / "runs").with_suffix(".log")


def write_log(root: Path, run: Run, text: str) -> None:
    """Keep what is known about a failure; a disk that takes no log must not end the grid."""
    with contextlib.suppress(OSError):
        results.write_whole(log_path(root, run), results.readable(text).encode())


def _out_of_memory(error: Exception) -> bool:
    """On the CPU, where torch says it in words; on CUDA it is a record."""
    return isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)


def _sentence(error: Exception) -> str:
    if _out_of_memory(error):
        return "out of memory on the CPU; use fewer workers or a smaller batch"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "the disk is full; make room, and the same call does this run again"
    if isinstance(error, OSError) and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{error.strerror}: {error.filename}; make the results folder writable and call again"
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"
