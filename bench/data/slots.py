"""Batches that processes write piece by piece into shared memory, ahead of whoever uses them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from torch import Tensor

from bench.data.ahead import AHEAD, ahead
from bench.data.shared import Shared
from datasets.transforms.decoding import BadImage

__all__ = ["filled"]

Fill = Callable[[int, int, Tensor], None]  # which batch, which piece of it, and the memory of the whole batch


def filled(
    fill: Fill, batches: int, pieces: int, shape: tuple[int, ...], workers: int, modules: Sequence[str] = ()
) -> Iterator[Tensor]:
    """Batches of one shape in order, each there until the next is asked for: it is written over then.

    Processes fill pieces of the batches that come next while one is used, each batch in a slot of memory. `fill` may
    raise BadImage, which is raised here. `modules` are those that take it long to import.
    """
    begun = -(-workers * AHEAD // pieces)  # batches that may be, beside the one in use
    slots = Shared((1 + begun, *shape))
    parts = range(batches * pieces)
    problems = ahead(partial(_filled, fill, pieces, slots), parts, workers, modules)
    for part, problem in zip(parts, problems, strict=True):
        if problem:
            raise BadImage(problem)
        batch, piece = divmod(part, pieces)
        if piece + 1 == pieces:
            yield slots.tensor[batch % len(slots.tensor)]


def _filled(fill: Fill, pieces: int, slots: Shared, part: int) -> str:
    """Write a piece where it belongs, or say what is wrong: an exception would bring another process's traceback."""
    batch, piece = divmod(part, pieces)
    try:
        fill(batch, piece, slots.tensor[batch % len(slots.tensor)])
    except BadImage as error:
        return str(error)
    return ""
