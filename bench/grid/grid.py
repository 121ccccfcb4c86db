"""The grid: what is on disk is skipped, the rest is done here or by worker processes, and nothing finished is lost."""

from __future__ import annotations

import contextlib
import functools
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from rich.console import Console

import results
from bench.grid.progress import Screen
from bench.grid.workers import NONE, Workers, work
from bench.run import Run
from bench.runner.attempt import Call, Event, Tries, log_path
from bench.runner.stale import lacking
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results import Record
from results.claims import Claims

__all__ = ["Outcome", "Pending", "look", "run_grid", "set_old_aside"]


@dataclass(frozen=True)
class Pending:
    """The runs of a grid by what is on disk, and complaints about damaged records that will be set aside."""

    runs: Sequence[Run]  # all of them
    finished: list[tuple[Run, Record]]
    left: list[Run]
    damaged: list[str]
    unreadable: dict[Path, str] = field(default_factory=dict)  # records that cannot be read, and why: left alone
    again: list[tuple[Run, str]] = field(default_factory=list)  # runs that are left although they have a record: why


@dataclass
class Outcome:
    """How many runs were done now, were there (or came from another process), and failed, with the logs of those."""

    done: int
    there: int
    failed: list[Path]
    records: list[Path]  # of all runs of the grid that have one
    stopped: bool = False  # by Ctrl-C, with runs left to do


def look(runs: Sequence[Run], root: Path, settings: RunSettings, force: bool = False) -> Pending:
    """Sort the runs of a grid by what their record files say; one whose record lacks something, or is stale, is left.

    Nothing on disk changes.
    """
    pending = Pending(runs, [], [], [])
    for run in runs:
        path = results.path_of(root, run.identity())
        try:
            if force or not path.is_file():
                pending.left.append(run)
            elif reason := lacking(run, record := results.load(path), root, settings):
                pending.left.append(run)
                pending.again.append((run, reason))
            else:
                pending.finished.append((run, record))
        except results.Damaged as error:
            pending.damaged.append(str(error))
            pending.left.append(run)
        except OSError as error:
            pending.unreadable[path] = error.strerror or str(error)
    return pending


def set_old_aside(runs: Sequence[Run], root: Path) -> None:
    """Rename the records that these runs have (`--force`), so that every process finds the runs to be done."""
    for path in (results.path_of(root, run.identity()) for run in runs):
        if path.is_file():
            results.set_aside(path, "forced")


def run_grid(
    pending: Pending,
    root: Path,
    settings: RunSettings,
    console: Console,
    workers: Workers | None = None,
    failed: Path | None = None,
) -> Outcome:
    """Do what is left, in this process or by `workers`. A run that fails is logged and stops nothing.

    After Ctrl-C, what is running is finished; after a second one nothing is. Grids that share a folder `failed` do not
    try again what failed in one of them.
    """
    count = 1 if workers is None else len(workers.settings)
    with (
        tempfile.TemporaryDirectory(prefix="petl-bench-") as folder,
        Screen(pending.runs, console, count) as screen,
        _finishing(screen.say) as asked,
    ):
        call = Call(root, settings, Tries(Path(folder), failed or Path(folder, "failed")), Claims())
        tally = _Tally(pending, call, screen)
        stopped = False

        def ended() -> bool:
            return asked.is_set() or tally.complete()

        try:
            if workers is None:
                work(pending.left, call, functools.partial(tally.hear, 0), asked.is_set)
            elif pending.left:
                with contextlib.closing(workers.messages(pending.left, call, ended)) as messages:
                    for message in messages:
                        tally.hear(*message)
        except KeyboardInterrupt:
            stopped = True
        stopped = stopped or (asked.is_set() and not tally.complete())
        return tally.outcome(stopped)


class _Tally:
    """Counts what becomes of the runs that are left, and shows it."""

    def __init__(self, pending: Pending, call: Call, screen: Screen) -> None:
        self._pending, self._runs, self._call, self._screen = pending, pending.left, call, screen
        self._done, self._there, self._failed = set[int](), set[int](), dict[int, Path]()
        self._pruned = set[int]()
        self._at: dict[int, int] = {}  # the run that a worker is at
        self._said = ""
        for run, record in pending.finished:
            screen.there(run, record)

    def complete(self) -> bool:
        """Return whether every run is done, was there, failed or was ended early."""
        return len(self._done | self._there | self._pruned | self._failed.keys()) == len(self._runs)

    def hear(self, worker: int, index: int, said: Event | Epoch) -> None:
        """Take note of what a worker says of a run."""
        if isinstance(said, Epoch):
            self._screen.epoch(worker, said)
        elif index == NONE:
            self._hear_of_none(said)
        elif said.what == "begun":
            self._at[worker] = index
            self._screen.begin(self._runs[index], worker)
        else:
            if self._at.pop(worker, None) is not None:
                self._screen.end(worker)
            if index not in self._done:
                self._enter(index, said)

    def outcome(self, stopped: bool) -> Outcome:
        """Return what came of the grid; a run of which nothing was heard failed, unless the grid was stopped."""
        silent = set(range(len(self._runs))) - self._done - self._there - self._pruned - self._failed.keys()
        for index in sorted(silent if not stopped else ()):
            if not self._read(index, "there"):
                self._fail(index, "another process tried it in vain", log_path(self._call.root, self._runs[index]))
        recorded = [
            *(run for run, _ in self._pending.finished),
            *(self._runs[i] for i in sorted(self._done | self._there)),
        ]
        failed = [*self._pending.unreadable, *self._failed.values()]
        paths = [results.path_of(self._call.root, run.identity()) for run in recorded]
        return Outcome(len(self._done), len(paths) - len(self._done), failed, paths, stopped)

    def _hear_of_none(self, said: Event) -> None:
        """Show that a worker waits, unless it is for another of the same grid, or cannot start; each once."""
        waits = said.what == "held"
        if said.sentence and said.sentence != self._said and not (waits and self._at):
            self._screen.say(said.sentence)
            self._said = said.sentence

    def _enter(self, index: int, said: Event) -> None:
        run = self._runs[index]
        log = log_path(self._call.root, run)
        if said.what == "done" or (said.what == "there" and index not in self._at.values()):
            self._read(index, said.what)
        elif said.what == "pruned" and index not in self._pruned:  # each worker comes by it
            self._pruned.add(index)
            self._screen.pruned(run, said.sentence)
        elif said.what == "failed":
            self._fail(index, said.sentence, log)
        elif said.what == "lost":
            if self._call.tries.left(run):
                self._screen.say(f"{run.task.name} {run.method} is tried once more: {said.sentence}")
            else:
                self._fail(index, f"{said.sentence} (twice)", log)

    def _read(self, index: int, what: str) -> bool:
        """Show the record of a run; return whether there is one."""
        run = self._runs[index]
        path = results.path_of(self._call.root, run.identity())
        try:
            record = results.load(path)
        except FileNotFoundError:
            return False
        except (results.Damaged, OSError) as error:  # what was written a moment ago
            self._fail(index, f"its record cannot be read back: {error}", path)
            return True
        self._failed.pop(index, None)
        if what == "done":
            new = index not in self._there
            self._there.discard(index)
            self._done.add(index)
            if new:
                self._screen.done(run, record)
        elif index not in self._there:
            self._there.add(index)
            self._screen.met(run, record)
        return True

    def _fail(self, index: int, sentence: str, log: Path) -> None:
        if index not in self._failed:
            self._failed[index] = log
            self._screen.failed(self._runs[index], sentence, log)


@contextlib.contextmanager
def _finishing(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """Give an event that the first Ctrl-C sets; the second raises KeyboardInterrupt as usual."""
    asked = threading.Event()

    def hear(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("stopping when what is running now is finished; Ctrl-C again stops at once")

    before = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(ValueError):  # outside the main thread nothing arrives
        signal.signal(signal.SIGINT, hear)
    try:
        yield asked
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, before)
