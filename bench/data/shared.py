"""Memory that several processes write to, so that images need not be passed from one to another."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Shared"]


class Shared:
    """A uint8 tensor in a file without a name: unlike /dev/shm, which is small in some containers, only RAM bounds it.

    Sent to a process that is being started, or through its queues, it is the same memory there.
    """

    def __init__(self, shape: tuple[int, ...], descriptor: int | None = None) -> None:
        self._file = os.fdopen(os.memfd_create("images") if descriptor is None else descriptor, "r+b")
        weakref.finalize(self, self._file.close)
        self.tensor: Tensor = torch.from_numpy(np.memmap(self._file, np.uint8, "r+", shape=shape))  # which enlarges it

    def __reduce__(self) -> tuple[Callable[..., Shared], tuple[Any, ...]]:
        return _opened, (tuple(self.tensor.shape), DupFd(self._file.fileno()))


def _opened(shape: tuple[int, ...], sent: Any) -> Shared:
    return Shared(shape, sent.detach())
