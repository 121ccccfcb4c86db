"""What workers do in tests: runs of the tiny suite, some of which go wrong the way the method's name says."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import bench.runner.execute
from bench.grid.sent import record_of
from bench.grid.worker import Order
from bench.run import Run
from bench.runner.attempt import Event, attempt
from bench.settings import Execution
from bench.train.loop import Epoch
from results import Cost
from tests.bench.tiny import runs

METHODS = "linear,lora,bitfit,partial,vqt,ssf"


def known() -> dict[str, Run]:
    asked = runs(METHODS, tasks=2, seeds=(0, 1))
    return {record_of(run): run for run in asked}


def act(order: Order, root: Path, how: Execution, watch: Callable[[Epoch], None]) -> Event:
    """Seed 1 of a method misbehaves; `first` is true at its first try."""
    run = known()[order.sent.record]
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
    bench.runner.execute.planned_cost = lambda *_: Cost()  # planning takes most of the time, and is tested elsewhere
    if run.seed == 1 and name == "partial" and first:
        bench.runner.execute._train_and_test = _without_memory
    return attempt(run, root, how, watch, order.over, order.force)


def _without_memory(*_: object) -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried ...")
