"""Work on many small things in processes, a few ahead of whoever takes the results, which come in order."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerContext
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

__all__ = ["ahead", "clean_processes", "cores"]

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


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def clean_processes() -> ForkServerContext:
    """Processes that are forked from a server, which imports what takes long once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "PIL.Image", "bench.streamed"])
    return context


def ahead(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """Apply a function that can be sent to other processes; without workers, here.

    The processes are forked from a clean server, since this one may hold CUDA and threads. A process that may have no
    children of its own (multiprocessing's daemons) does the work itself.
    """
    if workers < 1 or len(items) < 2 or multiprocessing.current_process().daemon:
        return map(function, items)
    return iter(
        DataLoader(
            _Applied(function, items),
            batch_size=None,
            num_workers=min(workers, len(items)),
            prefetch_factor=AHEAD,
            collate_fn=_same,
            multiprocessing_context=clean_processes(),
            generator=torch.Generator(),  # else a seed is drawn from that of the run, and reading changes training
        )
    )


def _same(result: Result) -> Result:
    return result
