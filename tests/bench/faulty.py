"""What workers do in tests: runs of the tiny suite, some of which go wrong the way the method's name says."""

import functools
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import bench.runner.attempt
import bench.runner.execute
from bench.run import Run, record_of
from bench.runner.execute import execute
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results import Cost, Record
from tests.bench.tiny import runs

METHODS = "linear,lora,bitfit,partial,vqt,ssf"


def planned(root: Path, records: Sequence[str]) -> list[Run]:
    """Make the list of runs in a worker, of which those of seed 1 misbehave."""
    bench.runner.execute.planned_cost = lambda *_: Cost()  # planning takes most of the time, and is tested elsewhere
    bench.runner.attempt.execute = functools.partial(executed, root)
    known = {record_of(run): run for run in runs(METHODS, tasks=2, seeds=(0, 1))}
    return [known[record] for record in records]


def executed(root: Path, run: Run, settings: RunSettings, watch: Callable[[Epoch], None]) -> Record:
    """Execute a run; `first` is true at its first try."""
    mark = root / f"{run.method}.tried"
    first, name = not mark.exists(), str(run.method)
    if run.seed == 1:
        mark.touch()
        if name == "lora" and first:
            os.kill(os.getpid(), signal.SIGKILL)
        if name == "bitfit":
            signal.raise_signal(signal.SIGSEGV)
        if name == "vqt" and first:
            time.sleep(3600)
        if name == "partial" and first:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you ...")
    return execute(run, settings, watch)
