"""Worker processes: one for each device, persistent, replaced when they die or hang."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from bench.grid.crew import Answer, Watch
from bench.grid.patience import Patience, Silence
from bench.grid.sent import Sent, record_of
from bench.grid.worker import READY, Attempt, Order, attempt_sent, serve
from bench.run import Run
from bench.runner.attempt import Event, Lost, write_log
from bench.settings import Execution
from bench.train.loop import Epoch

__all__ = ["Workers"]


@dataclass
class Member:
    """One live worker process, and what it is at."""

    process: SpawnProcess
    pipe: Connection
    diary: Path
    silence: Silence | None = None  # None: idle
    ready: bool = False

    def greet(self) -> None:
        """It has started."""
        self.ready = True
        if self.silence:
            self.silence.greeted()

    def progress(self, epoch: Epoch) -> None:
        """It has done an epoch."""
        if self.silence:
            self.silence.broken(epoch.seconds)


class Workers:
    """One persistent process for each of `hows`; started when there is something to do, replaced when it is gone."""

    def __init__(
        self,
        root: Path,
        hows: Sequence[Execution],
        threads: int,
        request: str,
        patience: Patience | None = None,
        act: Attempt = attempt_sent,
    ) -> None:
        self._root, self._hows, self._threads, self._request = root, hows, threads, request
        self._patience, self._act = patience or Patience(), act
        self._members: dict[int, Member] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="petl-bench-", ignore_cleanup_errors=True)

    def free(self) -> int | None:
        """A place without a run."""
        taken = {place for place, member in self._members.items() if member.silence}
        return next((place for place in range(len(self._hows)) if place not in taken), None)

    def busy(self) -> bool:
        """Whether a run is on its way."""
        return any(member.silence for member in self._members.values())

    def start(self, place: int, run: Run, over: str, force: bool) -> None:
        """Hand a run to the worker of a place; one that is missing, or died while idle, is started first."""
        if place in self._members and not self._members[place].process.is_alive():
            self._bury(place)
        if place not in self._members:
            self._members[place] = self._hire(place)
        member = self._members[place]
        member.silence = Silence(run, self._patience, started=member.ready)
        with contextlib.suppress(OSError):  # it died this instant, which `wait` finds out
            member.pipe.send(Order(Sent(self._request, record_of(run)), over, force))

    def wait(self, seconds: float, watch: Watch) -> list[Answer]:
        """Listen for so long at most; what was answered, by workers or for those that died or hung."""
        ready = wait([member.pipe for member in self._members.values()], seconds)
        answers = []
        for place, member in list(self._members.items()):
            event = self._heard(place, member, watch) if member.pipe in ready else None
            if event is None and member.silence and member.silence.over():
                event = self._hung(place, member.silence.limit())
            if event is not None and member.silence:
                answers.append((place, member.silence.run, event))
                member.silence = None
        return answers

    def close(self) -> None:
        """Stop every worker now; those that are idle lose nothing."""
        for place in list(self._members):
            self._bury(place)
        self._folder.cleanup()

    def _heard(self, place: int, member: Member, watch: Watch) -> Event | None:
        """The next thing a worker says; an end of the pipe says that it died."""
        try:
            said = member.pipe.recv()
        except (EOFError, OSError):
            member.process.join(10)
            return self._lost(place, f"the worker died ({_cause(member.process.exitcode)})")
        if isinstance(said, Lost):
            self._bury(place)  # a process that ran out of memory is not trusted with the next run
        if said == READY:
            member.greet()
        elif isinstance(said, Epoch):
            member.progress(said)
            watch(place, said)
        else:
            return said
        return None

    def _hung(self, place: int, seconds: float) -> Lost | None:
        """Ask the process where it is, which goes to its diary, then kill it."""
        process = self._members[place].process
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGUSR1)
        process.join(1)
        return self._lost(place, f"the worker hung (nothing was heard for {seconds:.0f} s) and was killed")

    def _lost(self, place: int, sentence: str) -> Lost | None:
        """The end of a worker; its run, if it had one, gets a log with its last words."""
        member = self._members[place]
        self._bury(place)
        if member.silence is None:
            return None
        run = member.silence.run
        words = member.diary.read_text(errors="replace") if member.diary.is_file() else ""
        write_log(self._root, run, f"{sentence}\n{words}")
        return Lost(sentence)

    def _hire(self, place: int) -> Member:
        """Spawned and not forked, since CUDA does not survive a fork."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        diary = Path(self._folder.name) / f"{place}.log"
        diary.unlink(missing_ok=True)
        words = theirs, self._root, self._hows[place], self._threads, diary, self._act
        process = context.Process(target=serve, args=words, name=f"worker {place}")  # no daemon: it has decoders
        with _inherited(self._threads):
            process.start()
        theirs.close()  # so that the pipe ends when the worker does
        return Member(process, ours, diary)

    def _bury(self, place: int) -> None:
        member = self._members.pop(place)
        _end(member.process)
        member.pipe.close()


def _end(process: SpawnProcess) -> None:
    """Kill a worker with all that it started, which outlives it; one that has just begun leads no group yet."""
    if process.pid is not None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.join()


@contextlib.contextmanager
def _inherited(threads: int) -> Iterator[None]:
    """What a new process takes over: threads of every library, and deafness to Ctrl-C from its first instruction."""
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, str(threads)))
    handler = signal.getsignal(signal.SIGINT)
    with contextlib.suppress(ValueError):  # outside the main thread there are no handlers to set
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _cause(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None or code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}; out of memory, or somebody killed it" if name == "SIGKILL" else name
