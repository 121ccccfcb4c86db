"""A simulation of PyTorch's CUDA caching allocator: which segments it takes from the device for a row of requests.

The rules are those of torch 2.11 (c10/cuda/CUDACachingAllocator.cpp; torch's notes "CUDA semantics", section "Memory
management"), for one stream and the default settings:

- A request is rounded up to 512 bytes. Requests up to 1 MiB are served by the small pool, others by the large pool.
- The free block with the smallest (size, address) that holds the request is used. What is left of it becomes a free
  block: in the small pool from 512 bytes on, in the large pool only beyond 1 MiB.
- Where no free block is large enough, a segment is taken from the device: 2 MiB for the small pool; for the large pool
  20 MiB where the request is below 10 MiB, else the request rounded up to 2 MiB.
- A freed block is joined with its free neighbours in the segment and kept. Segments that are wholly free go back to
  the device only when it has no memory left, and then all of them do.
- With `expandable_segments` each pool has one segment, which grows by pages of 2 MiB (small) or 20 MiB (large) and is
  split from 512 bytes on. When the device has no memory left, all pages that lie in free blocks go back to it.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["MIB", "CachingAllocator", "OutOfDeviceMemory", "Span"]

MIB = 2**20
GRAIN = 512
SMALL_REQUEST = MIB
SMALL_SEGMENT = 2 * MIB
LARGE_SEGMENT = 20 * MIB
OWN_SEGMENT = 10 * MIB  # from this request on, a segment is as large as the request
LARGE_ROUNDING = 2 * MIB
ADDRESS_SPACE = 2**44  # of an expandable segment; only memory that is mapped counts


class OutOfDeviceMemory(MemoryError):
    """The device has no room for another segment, not even after all cached memory went back to it."""


@dataclass(frozen=True)
class Span:
    """A piece of a segment: where it begins, its bytes, and whether it is in use."""

    address: int
    size: int
    used: bool


class _Block:
    """A piece of a segment, linked to its neighbours there."""

    __slots__ = ("address", "after", "before", "mapped", "pool", "size", "used")

    def __init__(self, address: int, size: int, pool: _Pool, mapped: bool = True) -> None:
        self.address, self.size, self.pool, self.mapped = address, size, pool, mapped
        self.used = False
        self.before: _Block | None = None
        self.after: _Block | None = None

    def cut(self, size: int) -> _Block:
        """Keep the first `size` bytes; the rest becomes a block of its own, which is returned."""
        rest = _Block(self.address + size, self.size - size, self.pool, self.mapped)
        rest.before, rest.after, self.after, self.size = self, self.after, rest, size
        if rest.after is not None:
            rest.after.before = rest
        return rest

    def join(self) -> None:
        """Take in the block after this one."""
        gone = self.after
        assert gone is not None
        self.size, self.after = self.size + gone.size, gone.after
        if self.after is not None:
            self.after.before = self


class _Pool:
    """The free blocks of one pool by (size, address), and the sizes that it works with."""

    def __init__(self, small: bool) -> None:
        self.page = SMALL_SEGMENT if small else LARGE_SEGMENT
        self.small = small
        self.free: list[tuple[int, int]] = []
        self.blocks: dict[int, _Block] = {}  # the free ones by address
        self.first: list[_Block] = []  # of every segment

    def put(self, block: _Block) -> None:
        insort(self.free, (block.size, block.address))
        self.blocks[block.address] = block

    def take(self, block: _Block) -> _Block:
        del self.free[bisect_left(self.free, (block.size, block.address))]
        return self.blocks.pop(block.address)

    def segment_size(self, size: int) -> int:
        """Return the bytes of the segment that is taken for a request."""
        if self.small or size < OWN_SEGMENT:
            return self.page
        return -(-size // LARGE_ROUNDING) * LARGE_ROUNDING


class CachingAllocator:
    """Serves requests from segments, and counts what is allocated and what is reserved, with the peak of both.

    Args:
        expandable_segments: Whether segments grow, as with `PYTORCH_ALLOC_CONF=expandable_segments:True`.
        limit: Bytes of the device that segments may take together; None for no limit.
    """

    def __init__(self, expandable_segments: bool = False, limit: int | None = None) -> None:
        self.expandable_segments = expandable_segments
        self.limit = limit
        self.allocated_bytes = self.peak_allocated_bytes = 0
        self.reserved_bytes = self.peak_reserved_bytes = 0
        self.retries = 0  # how often cached memory went back to the device to make room
        self._pools = _Pool(small=True), _Pool(small=False)
        self._used: dict[int, _Block] = {}
        self._next_address = SMALL_SEGMENT

    def allocate(self, size: int) -> int:
        """Return the address of a block for `size` bytes, at least one. Raises OutOfDeviceMemory."""
        if size < 1:
            raise ValueError(f"{size} bytes cannot be allocated")
        size = -(-size // GRAIN) * GRAIN
        pool = self._pools[0 if size <= SMALL_REQUEST else 1]
        block = self._cached(pool, size) or self._fresh(pool, size)
        left = block.size - size
        if left >= GRAIN if pool.small or self.expandable_segments else left > SMALL_REQUEST:
            pool.put(block.cut(size))
        block.used = True
        self._used[block.address] = block
        self.allocated_bytes += block.size
        self.peak_allocated_bytes = max(self.peak_allocated_bytes, self.allocated_bytes)
        return block.address

    def free(self, address: int) -> None:
        """Give back what `allocate` returned; the memory stays reserved. Raises KeyError for another address."""
        block = self._used.pop(address)
        block.used = False
        self.allocated_bytes -= block.size
        block.pool.put(_joined(block))

    def segments(self) -> list[list[Span]]:
        """Return the mapped blocks of every segment, in order of address."""
        found = ([Span(b.address, b.size, b.used) for b in _row(first) if b.mapped] for first in self._firsts())
        return [spans for spans in found if spans]

    def _firsts(self) -> list[_Block]:
        return sorted((first for pool in self._pools for first in pool.first), key=lambda block: block.address)

    def _cached(self, pool: _Pool, size: int) -> _Block | None:
        """Take the free block that fits best. One that can grow counts as large as it can become, so is used last."""
        index = bisect_left(pool.free, (size, 0))
        if index == len(pool.free):
            return None
        block = pool.blocks[pool.free[index][1]]
        for _, address in pool.free[index + 1 :] if _can_grow(block) else ():
            other = pool.blocks[address]
            if _grown(other) >= _grown(block):
                break
            block = other
        return pool.take(block)

    def _fresh(self, pool: _Pool, size: int) -> _Block:
        """Make a block of new memory; cached memory goes back to the device where there is no room."""
        make = self._map if self.expandable_segments else self._segment
        block = make(pool, size)
        if block is None:
            self._release()
            self.retries += 1
            block = make(pool, size)
        if block is None:
            raise OutOfDeviceMemory(f"no room for {size} bytes: {self.reserved_bytes} of {self.limit} are reserved")
        return block

    def _reserve(self, size: int) -> bool:
        if self.limit is not None and self.reserved_bytes + size > self.limit:
            return False
        self.reserved_bytes += size
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, self.reserved_bytes)
        return True

    def _segment(self, pool: _Pool, size: int) -> _Block | None:
        size = pool.segment_size(size)
        if not self._reserve(size):
            return None
        block = _Block(self._next_address, size, pool)
        self._next_address += -(-size // LARGE_ROUNDING) * LARGE_ROUNDING
        pool.first.append(block)
        return block

    def _map(self, pool: _Pool, size: int) -> _Block | None:
        """Map pages at the lowest address of the pool's segment where `size` bytes are free or unmapped."""
        if not pool.first:
            pool.first.append(_Block(self._next_address, ADDRESS_SPACE, pool, mapped=False))
            self._next_address += ADDRESS_SPACE
        block = _place(pool.first[0], size)
        while not block.mapped or block.size < size:
            gap = block.after if block.mapped else block
            assert gap is not None
            wanted = size - block.size if block.mapped else size
            pages = min(-(-wanted // pool.page) * pool.page, gap.size)
            if not self._reserve(pages):
                return None
            if pages < gap.size:
                gap.cut(pages)
            gap.mapped = True
            block = _joined(gap)
            pool.put(block)
        return pool.take(block)

    def _release(self) -> None:
        """Give everything to the device that is cached and can go: whole segments, or pages of expandable ones."""
        for pool in self._pools:
            for block in [pool.blocks[address] for _, address in pool.free]:
                if self.expandable_segments:
                    self._unmap(block)
                elif block.before is None and block.after is None:
                    pool.take(block)
                    pool.first.remove(block)
                    self.reserved_bytes -= block.size

    def _unmap(self, block: _Block) -> None:
        pool = block.pool
        origin = pool.first[0].address
        start = origin + -(-(block.address - origin) // pool.page) * pool.page
        end = origin + (block.address + block.size - origin) // pool.page * pool.page
        if start >= end:
            return
        pool.take(block)
        if end < block.address + block.size:
            pool.put(block.cut(end - block.address))
        gap = block
        if start > block.address:
            gap = block.cut(start - block.address)
            pool.put(block)
        gap.mapped = False
        self.reserved_bytes -= gap.size
        _joined(gap)


def _row(first: _Block | None) -> Iterator[_Block]:
    while first is not None:
        yield first
        first = first.after


def _joined(block: _Block) -> _Block:
    """Join the block with the neighbours that are in its state, free or unmapped; free ones leave their pool's list."""
    after, before = block.after, block.before
    if after is not None and not after.used and after.mapped == block.mapped:
        if after.mapped:
            block.pool.take(after)
        block.join()
    if before is not None and not before.used and before.mapped == block.mapped:
        if before.mapped:
            block.pool.take(before)
        before.join()
        return before
    return block


def _can_grow(block: _Block) -> bool:
    return block.after is not None and not block.after.mapped


def _grown(block: _Block) -> int:
    """Return the size that a free block can reach."""
    return block.size + (block.after.size if block.after is not None and not block.after.mapped else 0)


def _place(first: _Block, size: int) -> _Block:
    """Return the first unmapped block, or the free one before it, from which on `size` bytes are not in use."""
    for block in _row(first):
        if block.mapped:
            continue
        before = block.before
        start = before if before is not None and not before.used else block
        room = 0
        for following in _row(start):
            if following.used or room >= size:
                break
            room += following.size
        if room >= size:
            return start
    raise OutOfDeviceMemory(f"no addresses left for {size} bytes")
