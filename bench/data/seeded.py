"""Random numbers of one image or one batch, for libraries that draw from the global generators."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["BATCH", "IMAGE", "order_of", "seeded"]

IMAGE, BATCH, ORDER = 1, 2, 3  # what numbers are drawn for; part of every key, so that none are drawn twice


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Within the context python, numpy and torch (on the CPU) draw by the key; afterwards they go on as before.

    Not `torch.manual_seed`, which seeds the devices as well, where a network's own numbers are drawn.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(8)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.default_generator.manual_seed(int(words[:2].view(np.uint64)[0]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


@lru_cache(maxsize=4)
def order_of(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """So many indices as they are shuffled for one epoch; the same in every process."""
    return np.random.default_rng((ORDER, seed, epoch)).permutation(count)
