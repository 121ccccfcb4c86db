"""After SIGKILL, of a worker or of the process that was called, nothing goes on that it had started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


class Marked:
    """A process and all that it starts, known by a word in what they inherit, whoever their parents are now."""

    def __init__(self, mode: str, folder: Path) -> None:
        self.mark = f"PETL_BENCH_TEST={os.getpid()}-{time.monotonic_ns()}"
        name, _, value = self.mark.partition("=")
        command = [sys.executable, "-m", "tests.bench.decoding", mode, str(folder)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {name: value}, stderr=subprocess.DEVNULL)

    def alive(self, words: str = "") -> list[int]:
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                marked = self.mark.encode() in (path / "environ").read_bytes().split(b"\0")
                if marked and words.encode() in (path / "cmdline").read_bytes():
                    found.append(int(path.name))
            except OSError:
                continue
        return found

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        if pid == self.process.pid:
            self.process.wait()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Marked]]:
    all_: list[Marked] = []
    yield lambda mode: all_.append(Marked(mode, tmp_path)) or all_[-1]  # type: ignore[func-returns-value]
    for marked in all_:
        for pid in marked.alive():
            marked.kill(pid)


def wait_until(holds: Callable[[], bool]) -> None:
    """A condition that never holds ends at the time limit of all tests."""
    while not holds():
        time.sleep(0.05)


def test_nothing_decodes_for_a_process_that_was_killed_and_ctrl_c_stops_no_decoding(
    started: Callable[[str], Marked],
) -> None:
    marked = started("alone")
    wait_until(lambda: len(marked.alive("forkserver")) == 3)  # a server and two that decode
    for pid in marked.alive("forkserver"):
        os.kill(pid, signal.SIGINT)  # as a terminal does; the run that is going on is to be finished
        os.kill(pid, signal.SIGUSR2)  # as Slurm does before a job's time is over, which submitit answers
    time.sleep(0.5)
    assert len(marked.alive("forkserver")) == 3
    marked.kill(marked.process.pid)
    wait_until(lambda: not marked.alive())


@pytest.mark.slow
def test_nothing_decodes_for_workers_that_were_killed(started: Callable[[str], Marked]) -> None:
    marked = started("workers")
    wait_until(lambda: len(marked.alive("forkserver")) == 6)
    marked.kill(marked.alive("spawn_main")[0])
    wait_until(lambda: len(marked.alive("forkserver")) == 3)
    marked.kill(marked.process.pid)
    wait_until(lambda: not marked.alive())
