"""The loop that every process of a grid runs, and the parent's side of worker processes that run it.

`work` walks a list of runs: what has a record is skipped, what can be claimed is done, what another process holds is
looked at again at the end. No run is handed out; workers only tell the parent what they are at, each by a pipe of its
own, since a process that is killed may hold the lock of a queue that it shares.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import functools
import gc
import itertools
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

import torch

from bench.data.loader import deaf_to_endings, end_with_parent
from bench.errors import UsageError
from bench.machine import cores
from bench.run import Run
from bench.runner.attempt import Call, Event, attempt, write_log
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results import numbered

__all__ = ["NONE", "Message", "Workers", "count_of", "work", "workers_of"]

POLL_SECONDS = 1.0  # between looks at what other processes hold
START_SECONDS = 600.0  # that a new process may take until it says something
STARTS = 5  # of a worker in a row that end before a run
PATIENCE_EPOCHS = (
    20.0  # a worker hangs that is silent for so many of its longest epochs, and for the patience asked for
)

NONE = -1  # no run of the list
READY, ENDED = (NONE, Event("there")), (NONE, Event("done"))  # what a worker says first and last

Message = tuple[int, int, Event | Epoch]  # which worker, which run of the list, what has happened


def work(
    runs: Sequence[Run], call: Call, tell: Callable[[int, Event | Epoch], None], stopped: Callable[[], bool]
) -> None:
    """Walk the list until every run has a record or was tried in vain, or `stopped` returns True.

    Processes begin at different shares of each method's tasks (`Call.start`), and so meet less often.
    """
    left, read = dict(enumerate(runs)), set[str]()  # tasks whose images and states this process has
    while left and not stopped():
        started, begun = time.monotonic(), False
        for index, run in _near_first(left, read, call.start):
            if stopped():
                return
            event = attempt(run, call, functools.partial(tell, index))
            tried = event.what in ("done", "failed", "lost", "pruned")
            begun = begun or tried
            read.update([run.task.name] if tried else [])
            if event.what != "held":
                tell(index, event)
            if event.what not in ("held", "lost"):
                del left[index]
        if left and not begun:
            waiting = f"waiting for {numbered(len(left), 'run')} that other processes are at"
            tell(NONE, Event("held", f"{waiting}; see results check"))
            again = time.monotonic() + max(POLL_SECONDS, time.monotonic() - started)
            while time.monotonic() < again and not stopped():
                time.sleep(POLL_SECONDS / 4)


def _near_first(left: Mapping[int, Run], read: Collection[str], start: float) -> Iterator[tuple[int, Run]]:
    """Give the runs method by method: first those on tasks in `read`, the others from the share `start` on."""
    for _, group in itertools.groupby(list(left.items()), key=lambda pair: pair[1].method):
        several = list(group)
        first = int(start * len(several))
        yield from sorted(several[first:] + several[:first], key=lambda pair: pair[1].task.name not in read)


def count_of(device: torch.device, asked: int | None) -> int:
    """Return how many runs go on at once: as asked, else one a GPU, or one on a CPU. Raises UsageError."""
    if asked is not None and asked < 1:
        raise UsageError(f"--workers {asked} does nothing; give at least 1")
    if asked is not None:
        return asked
    return torch.cuda.device_count() if device.type == "cuda" else 1


def workers_of(plan: Callable[[], Sequence[Run]], settings: RunSettings, asked: int | None) -> Workers | None:
    """Return the processes that do the runs of `plan`; None on a CPU when no number is asked for."""
    if asked is None and settings.device.type == "cpu":
        return None
    count = count_of(settings.device, asked)
    shares = [_share(settings, worker, count) for worker in range(count)]
    return Workers(plan, shares, max(1, torch.get_num_threads() // count))


def _share(settings: RunSettings, worker: int, count: int) -> RunSettings:
    """Return what one of `count` workers has of the machine: a device, and its part of the cores and of the memory."""
    device = settings.device
    if device.type == "cuda":  # one GPU after another; a CPU is shared
        device = torch.device("cuda", worker % torch.cuda.device_count())
    loader = settings.loader
    if loader.workers is None:
        loader = dataclasses.replace(loader, workers=max(1, cores() // count))
    limits = dataclasses.replace(settings.cache_limits, processes=count)
    return dataclasses.replace(settings, device=device, loader=loader, cache_limits=limits)


@dataclass
class _Worker:
    """The parent's view of one process."""

    process: SpawnProcess
    pipe: Connection
    log: Path
    started: float
    at: int | None = None  # the run that it is at
    heard: bool = False
    stopping: bool = False  # it was asked to end after its run
    ended: bool = False  # it has said that nothing is left for it


@dataclass
class Workers:
    """One process for each of `settings`; one that dies is replaced, and its run is tried twice at most.

    `plan` makes the list of runs in each process, since images' sources do not travel.
    """

    plan: Callable[[], Sequence[Run]]
    settings: Sequence[RunSettings]
    threads: int
    _workers: dict[int, _Worker] = field(default_factory=dict)
    _vain: dict[int, int] = field(default_factory=dict)  # how often in a row a worker ended before a run

    def messages(self, runs: Sequence[Run], call: Call, stopped: Callable[[], bool]) -> Generator[Message]:
        """Yield what the workers tell about these runs, until all have ended.

        Once `stopped` returns True they finish what they are at. Whoever closes the iterator stops them now.
        """
        self._vain = dict.fromkeys(range(len(self.settings)), 0)
        self._workers = {number: self._spawn(number, call) for number in self._vain}
        try:
            while self._workers:
                if stopped():
                    self._ask_to_stop()
                ready = wait([worker.pipe for worker in self._workers.values()], POLL_SECONDS)
                for number, worker in list(self._workers.items()):
                    if worker.pipe in ready:
                        yield from self._heard(number, runs, call, stopped)
                    elif not worker.heard and time.monotonic() - worker.started > START_SECONDS:
                        worker.process.kill()  # which ends its pipe
        finally:
            for number in list(self._workers):
                _kill(self._workers.pop(number))

    def _heard(self, number: int, runs: Sequence[Run], call: Call, stopped: Callable[[], bool]) -> Iterator[Message]:
        """Yield the next thing that a worker says; one whose pipe has ended is replaced, unless nothing is left."""
        worker = self._workers[number]
        message = _received(worker)
        if message is not None:
            self._vain[number] *= worker.at is None
            yield number, *message
            return
        self._vain[number] += worker.at is None
        yield from self._buried(number, runs, call)
        if not worker.ended and not stopped() and self._vain[number] < STARTS:
            self._workers[number] = self._spawn(number, call)

    def _spawn(self, number: int, call: Call) -> _Worker:
        """Start a process; it is spawned and not forked, since CUDA does not survive a fork."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        log = call.tries.folder / f"worker-{number}.log"
        log.unlink(missing_ok=True)
        own = dataclasses.replace(call, settings=self.settings[number], start=number / len(self.settings))
        arguments = theirs, self.plan, own, self.threads, log
        process = context.Process(target=_serve, args=arguments, name=f"worker {number}")  # no daemon: it has children
        with _inherited(self.threads):
            process.start()
        theirs.close()  # so that the pipe ends when the worker does
        return _Worker(process, ours, log, time.monotonic())

    def _ask_to_stop(self) -> None:
        for worker in self._workers.values():
            if not worker.stopping:
                worker.stopping = True
                with contextlib.suppress(OSError):
                    worker.pipe.send("stop")

    def _buried(self, number: int, runs: Sequence[Run], call: Call) -> Iterator[Message]:
        """Remove a worker whose pipe has ended; its run, if it had one, gets a log with its last words."""
        worker = self._workers.pop(number)
        worker.process.join(10)
        code = worker.process.exitcode
        _kill(worker)
        if worker.ended:
            return
        words = worker.log.read_text(errors="replace") if worker.log.is_file() else ""
        hung = re.search(r"^Timeout \((.+)\)!", words, re.MULTILINE)  # as faulthandler writes it
        cause = f"the worker hung (nothing was heard for {hung[1]})" if hung else f"the worker died ({_cause(code)})"
        if worker.at is not None:
            write_log(call.root, runs[worker.at], f"{cause}\n{words}")
            yield number, worker.at, Event("lost", cause)


def _received(worker: _Worker) -> tuple[int, Event | Epoch] | None:
    """Return the next message of a worker; None at the end of its pipe."""
    try:
        index, said = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    worker.heard = True
    if isinstance(said, Event):
        worker.at = index if said.what == "begun" else None
        worker.ended = worker.ended or (index, said) == ENDED
    return index, said


def _serve(pipe: Connection, plan: Callable[[], Sequence[Run]], call: Call, threads: int, log: Path) -> None:
    """Be a worker: work through the list, and say what happens."""
    os.setsid()  # leads a group of its own, with the processes that decode for it, so that all end together
    end_with_parent(functools.partial(os.killpg, 0, signal.SIGKILL))  # its claim is then that of a process that is gone
    _write_to(log)
    voice = _Voice(pipe, call.settings.patience_seconds)
    voice.tell(*READY)
    try:
        torch.set_num_threads(threads)
        if call.settings.device.type == "cuda":
            torch.cuda.set_device(call.settings.device)
        voice.runs = plan()
    except Exception as error:  # as in `attempt`; no run is at fault
        voice.tell(NONE, Event("failed", f"a worker cannot start: {type(error).__name__}: {error}"))
    else:
        gc.freeze()  # libraries stay to the end; to look through them at every collection takes a thirtieth of the time
        work(voice.runs, call, voice.tell, voice.stopped)
    voice.tell(*ENDED)


@dataclass
class _Voice:
    """How a worker speaks to its parent; a worker that falls silent ends itself and leaves a traceback in its log."""

    pipe: Connection
    patience: float
    runs: Sequence[Run] = ()
    longest: float = 0.0  # epoch of the run, in seconds

    def tell(self, index: int, said: Event | Epoch) -> None:
        """Send a message; to a parent that was killed this instant nothing can be said, and no run may fail over it."""
        if isinstance(said, Epoch):
            self.longest = max(self.longest, said.seconds)
        elif said.what == "begun":
            self.longest = 0.0
            os.ftruncate(sys.stderr.fileno(), 0)
        self.watch(index)
        try:
            self.pipe.send((index, said))
        except OSError:
            os._exit(1)
        if isinstance(said, Event) and said.what == "lost":
            os._exit(1)  # a process that ran out of memory is not trusted with the next run

    def stopped(self) -> bool:
        """Return whether the parent has asked to stop, or is gone."""
        self.watch(NONE)
        return self.pipe.poll()

    def watch(self, index: int) -> None:
        """Wait for the next word again; the test after the last epoch may have many more images than an epoch."""
        sizes = self.runs[index].task.sizes if index != NONE else {"test": 1, "train": 1}
        epochs = PATIENCE_EPOCHS * max(1.0, sizes["test"] / sizes["train"])
        faulthandler.dump_traceback_later(max(self.patience, epochs * self.longest), exit=True)


def _write_to(log: Path) -> None:
    """Send all that is printed to the log; a crash inside a library says there where it was."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(handle, stream.fileno())
    os.close(handle)
    faulthandler.enable()


def _kill(worker: _Worker) -> None:
    """Kill a worker with all that it started, which outlives it; one that has just begun leads no group yet."""
    if worker.process.pid is not None:
        with contextlib.suppress(OSError):
            os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


@contextlib.contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """Set what a new process takes over: threads of every library, and deafness to Ctrl-C and the end of a job."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, str(threads)))
    try:
        with deaf_to_endings():
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _cause(code: int | None) -> str:
    """Say how a process ended."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}; out of memory, or somebody killed it" if name == "SIGKILL" else name
