"""What the workers of a trial do: runs of the tiny suite, and one fault at the first try of each run of seed 0."""

import contextlib
import functools
import json
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import bench.runner.execute
import bench.runner.perform
from bench.grid.worker import Order
from bench.run import Run
from bench.runner.attempt import Event, attempt
from bench.runner.execute import execute
from bench.settings import Execution
from bench.train.loop import Epoch
from results import Cost, Record


@functools.cache
def known(words: str) -> dict[str, Run]:
    from tests.trials.grid import asked

    given = json.loads(words)
    return asked(given["seeds"], given["epochs"], given["methods"])


def act(order: Order, root: Path, how: Execution, watch: Callable[[Epoch], None]) -> Event:
    bench.runner.execute.planned_cost = lambda *_: Cost()  # planning takes most of the time, and is tested elsewhere
    run = known(order.sent.request)[order.sent.record]
    fault = json.loads(order.sent.request)["fault"]
    mark = root / "tried" / order.sent.record.replace("/", "-")
    if fault and run.seed == 0 and not mark.exists():
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        watch = functools.partial(FAULTS[fault], watch)
    bench.runner.perform.execute = functools.partial(timed, root, json.loads(order.sent.request)["seconds"])
    return attempt(run, root, how, watch, order.over, order.force)


def timed(root: Path, least: float, *words: Any) -> Record:
    """Execute a run and keep how long that took, without claim, record and everything around it."""
    started = time.perf_counter()
    record = execute(*words)
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
