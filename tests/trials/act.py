"""What the workers of a trial do: runs of the tiny suite, and one fault at the first try of each run of seed 0."""

import contextlib
import functools
import os
import resource
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import bench.runner.attempt
import bench.runner.execute
from bench.run import Run, record_of
from bench.runner.execute import execute
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results import Cost, Record
from tests.bench.tiny import runs

METHODS = "linear,lora,bitfit,partial"


def asked(seeds: int, epochs: int, methods: str = METHODS) -> dict[str, Run]:
    """Two tasks, so many seeds; each by the path of its record."""
    grid = runs(methods, tasks=2, seeds=tuple(range(seeds)), epochs=epochs)
    return {record_of(run): run for run in grid}


def planned(
    root: Path, records: Sequence[str], seeds: int, epochs: int, methods: str, fault: str, seconds: float
) -> list[Run]:
    """Make the list of runs in a worker, whose runs then go wrong, or take a while."""
    bench.runner.execute.planned_cost = lambda *_: Cost()  # planning takes most of the time, and is tested elsewhere
    bench.runner.attempt.execute = functools.partial(executed, root, fault, seconds)
    known = asked(seeds, epochs, methods)
    return [known[record] for record in records]


def executed(
    root: Path, fault: str, least: float, run: Run, settings: RunSettings, watch: Callable[[Epoch], None]
) -> Record:
    """Execute a run and keep how long that took, without claim, record and everything around it."""
    mark = root / "tried" / record_of(run).replace("/", "-")
    if fault and run.seed == 0 and not mark.exists():
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        watch = functools.partial(FAULTS[fault], watch)
    started = time.perf_counter()
    record = execute(run, settings, watch)
    time.sleep(max(0.0, started + least - time.perf_counter()))
    with contextlib.suppress(OSError), (root / "seconds").open("a") as file:  # some trials fill the disk
        file.write(f"{time.perf_counter() - started}\n")
    return record


def hang(watch: Callable[[Epoch], None], epoch: Epoch) -> None:
    time.sleep(3600)


def crash(watch: Callable[[Epoch], None], epoch: Epoch) -> None:
    signal.raise_signal(signal.SIGSEGV)


def kill(watch: Callable[[Epoch], None], epoch: Epoch) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def eat(watch: Callable[[Epoch], None], epoch: Epoch) -> None:
    """Take more memory than a limit allows, as `ulimit -v` sets it."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + 2**28
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    torch.ones(2**28)


FAULTS = {"hang": hang, "crash": crash, "kill": kill, "memory": eat}
