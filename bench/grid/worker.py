"""The inside of a worker process: takes runs from a pipe one at a time, says each epoch, and ends with its parent."""

from __future__ import annotations

import faulthandler
import functools
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from bench.data.ahead import end_with_parent
from bench.grid.sent import Sent
from bench.runner.attempt import Event, Failed, attempt
from bench.settings import Execution
from bench.train.loop import Epoch

__all__ = ["READY", "Attempt", "Order", "attempt_sent", "serve"]

READY = "ready"  # what a worker says first


@dataclass(frozen=True)
class Order:
    """One run to do; `over` and `force` as in `perform`."""

    sent: Sent
    over: str
    force: bool


Attempt = Callable[[Order, Path, Execution, Callable[[Epoch], None]], Event]


def attempt_sent(order: Order, root: Path, how: Execution, watch: Callable[[Epoch], None]) -> Event:
    """What a worker does with an order."""
    try:
        run = order.sent.run()
    except Exception as error:  # as in `attempt`: no single run may end the grid
        return Failed(f"{type(error).__name__}: {error}")
    return attempt(run, root, how, watch, order.over, order.force)


def serve(pipe: Connection, root: Path, how: Execution, threads: int, diary: Path, act: Attempt) -> None:
    """Serve until the pipe closes. Whatever is printed goes to `diary`, which the parent reads if this process dies."""
    os.setsid()  # leads a group of its own, with the processes that decode for it, so that all end together
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone decides what Ctrl-C means
    end_with_parent(_end_group)  # its claim is then that of a process that is gone
    torch.set_num_threads(threads)
    if how.device.type == "cuda":
        torch.cuda.set_device(how.device)
    say = functools.partial(_say, pipe)
    say(READY)
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        _write_to(diary)
        say(act(order, root, how, say))


def _say(pipe: Connection, what: object) -> None:
    """To a parent that was killed this instant nothing can be said, and a run must not fail over it."""
    try:
        pipe.send(what)
    except OSError:
        os._exit(1)


def _end_group() -> None:
    os.killpg(0, signal.SIGKILL)


def _write_to(diary: Path) -> None:
    """Begin the diary anew; a crash inside a library says there where it was."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(diary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.close(handle)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # a parent that finds this process hung asks where it is
