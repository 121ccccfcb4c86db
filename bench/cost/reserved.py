"""The planned reserved memory: a plan's allocations and frees replayed through PyTorch's caching allocator.

The row of events is that of a measurement (bench/cost/measure.py): from an empty pool the weights and the batch, the
first step, in which gradients and optimizer state are made, and further steps like the second one. Two workspaces of
cuBLAS are part of it, since the forward and the backward pass run in threads with a handle each; the CUDA context is
not.
"""

from __future__ import annotations

import csv
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.cost.caching_allocator import MIB, CachingAllocator
from bench.cost.live_memory import WORKSPACE, Allocation, Event, Peak

__all__ = ["LARGEST_WORKSPACE", "STEPS", "AllocatorPeaks", "allocator_peaks", "workspace_bytes"]

CARDS = Path(__file__).with_name("device_peaks.csv")
LARGEST_WORKSPACE = 32 * MIB  # of cuBLAS on Hopper and Blackwell; older cards have 8.125 MiB (CUBLAS_WORKSPACE_CONFIG)
STEPS = 4  # the first one and three more, as in a measurement


@dataclass(frozen=True)
class AllocatorPeaks:
    """The highest bytes that torch's allocator counts, as CUDA's statistics have them."""

    allocated: int  # from the second step on, cuBLAS's workspaces and what blocks are larger than asked for included
    reserved: int


def allocator_peaks(
    peak: Peak,
    workspace: int = LARGEST_WORKSPACE,
    expandable_segments: bool = False,
    limit: int | None = None,
    steps: int = STEPS,
) -> AllocatorPeaks:
    """Replay the training steps of a plan. Raises OutOfDeviceMemory where more than `limit` must be reserved.

    Args:
        peak: From `training_peak`, whose history holds the state before the first step and two steps.
        workspace: Bytes of a cuBLAS workspace on the card.
        expandable_segments: As in `PYTORCH_ALLOC_CONF`.
        limit: Bytes that the card has beside the CUDA context.
        steps: How many steps are replayed; those from the third on repeat the second.
    """
    before, first, second = peak.history
    allocator = CachingAllocator(expandable_segments, limit)
    addresses: dict[int, int] = {}
    _replay(allocator, (*before, *first), addresses, workspace)
    heirs = _heirs(second)
    allocator.peak_allocated_bytes = allocator.allocated_bytes
    for step in range(1, steps):
        if step > 1:  # what the second step freed of the first is freed of the step before by its successors
            addresses |= {old: addresses.pop(new) for old, new in heirs.items()}
        _replay(allocator, second, addresses, workspace)
    return AllocatorPeaks(allocator.peak_allocated_bytes, allocator.peak_reserved_bytes)


def workspace_bytes(device: str) -> int:
    """Return the bytes of a cuBLAS workspace on the device that CUDA calls so; the largest one if it is unknown."""
    return _workspaces().get(device, LARGEST_WORKSPACE)


def _replay(allocator: CachingAllocator, events: Iterable[Event], addresses: dict[int, int], workspace: int) -> None:
    for sign, block in events:
        size = workspace if block.kind == WORKSPACE else block.asked or block.size
        if size == 0:
            continue
        if sign > 0:
            addresses[id(block)] = allocator.allocate(size)
        elif id(block) in addresses:
            allocator.free(addresses.pop(id(block)))


def _heirs(step: Sequence[Event]) -> dict[int, int]:
    """Find, for each older block that dies in a step, the one born there in its place, such as the next gradient.

    They are matched by size, in order of birth.
    """
    born = {id(block): block for sign, block in step if sign > 0}
    dead = {id(block): block for sign, block in step if sign < 0}
    survivors: dict[int, deque[Allocation]] = defaultdict(deque)
    for block in born.values():
        if id(block) not in dead:
            survivors[block.size].append(block)
    gone = (block for block in dead.values() if id(block) not in born and survivors[block.size])
    return {id(block): id(survivors[block.size].popleft()) for block in gone}


@cache
def _workspaces() -> dict[str, int]:
    with CARDS.open(newline="") as file:
        return {row["device"]: 1024 * int(row["cublas_workspace_kib"]) for row in csv.DictReader(file)}
