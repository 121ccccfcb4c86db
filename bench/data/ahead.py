"""Work on many small things in processes, a few ahead of whoever takes the results, which come in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

__all__ = ["ahead", "clean_processes", "end_with_parent"]

Item = TypeVar("Item")
Result = TypeVar("Result")
AHEAD = 2  # results that each process may have waiting


class _Applied(Dataset[Any]):
    """A function applied to the items."""

    def __init__(self, function: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.function, self.items = function, items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.function(self.items[index])


def clean_processes(*modules: str) -> ForkServerContext:
    """Processes that are forked from a server, which imports what takes long once for all of them.

    Modules besides are imported by a server that is started now, else by each process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "PIL.Image", "bench.data.streamed", *modules])
    return context


def _start_server(*modules: str) -> None:
    """Once; it and what it forks are deaf to Ctrl-C, since the run that they work for is to be finished."""
    clean_processes(*modules)
    resource_tracker.ensure_running()  # else it is started next, and lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ahead(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, modules: Sequence[str] = ()
) -> Iterator[Result]:
    """Apply a function, which needs `modules`, that can be sent to other processes; without workers, here.

    The processes are forked from a clean server, since this one may hold CUDA and threads. A process that may have no
    children of its own (multiprocessing's daemons) does the work itself.
    """
    if workers < 1 or len(items) < 2 or multiprocessing.current_process().daemon:
        return map(function, items)
    _start_server(*modules)
    return iter(
        DataLoader(
            _Applied(function, items),
            batch_size=None,
            num_workers=min(workers, len(items)),
            prefetch_factor=AHEAD,
            collate_fn=_same,
            worker_init_fn=_attend,
            multiprocessing_context=clean_processes(),
            generator=torch.Generator(),  # else a seed is drawn from that of the run, and reading changes training
        )
    )


def end_with_parent(end: Callable[[], object]) -> None:
    """Call `end`, on a thread, when the process that wanted this one is gone, however it went.

    The system's parent does not tell: that of a process from a server is the server.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        end()

    threading.Thread(target=wait, daemon=True).start()


def _attend(number: int) -> None:
    """First in each process."""
    end_with_parent(partial(os._exit, 1))


def _same(result: Result) -> Result:
    return result
