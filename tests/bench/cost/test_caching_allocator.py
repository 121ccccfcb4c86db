"""The simulated allocator: segments that PyTorch's rules imply for small rows, and what holds for any row."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cost.caching_allocator import MIB, CachingAllocator, OutOfDeviceMemory

LIMIT = 64 * MIB
SIZES = st.one_of(st.integers(1, 4096), st.integers(1, 3 * MIB), st.integers(1, 30 * MIB))
ROWS = st.lists(st.tuples(st.booleans(), SIZES), max_size=60)  # allocate so much, or free one of those in use
ALLOCATORS = st.sampled_from([(False, None), (True, None), (False, LIMIT), (True, LIMIT)])


def sizes(allocator: CachingAllocator) -> list[list[tuple[int, bool]]]:
    return [[(span.size, span.used) for span in segment] for segment in allocator.segments()]


@pytest.mark.parametrize(
    ("asked", "spans"),
    [
        (1, [(512, True), (2 * MIB - 512, False)]),
        (513, [(1024, True), (2 * MIB - 1024, False)]),
        (MIB, [(MIB, True), (MIB, False)]),
        (MIB + 1, [(MIB + 512, True), (19 * MIB - 512, False)]),
        (10 * MIB - 512, [(10 * MIB - 512, True), (10 * MIB + 512, False)]),
        (10 * MIB, [(10 * MIB, True)]),
        (10 * MIB + 1, [(10 * MIB + 512, True), (2 * MIB - 512, False)]),
        (11 * MIB, [(12 * MIB, True)]),  # a rest of not more than 1 MiB stays with the block
    ],
)
def test_the_segment_of_a_first_request(asked: int, spans: list[tuple[int, bool]]) -> None:
    allocator = CachingAllocator()
    allocator.allocate(asked)
    assert sizes(allocator) == [spans]
    assert allocator.allocated_bytes == spans[0][0]
    assert allocator.reserved_bytes == sum(size for size, _ in spans)


def test_the_smallest_free_block_that_is_large_enough_is_used() -> None:
    allocator = CachingAllocator()
    large, small = allocator.allocate(40 * MIB), allocator.allocate(24 * MIB)
    allocator.free(large)
    allocator.free(small)
    assert allocator.allocate(24 * MIB) == small
    assert allocator.allocate(22 * MIB) == large  # the rest of it is a block of its own
    assert allocator.allocate(18 * MIB) == large + 22 * MIB
    assert allocator.reserved_bytes == 64 * MIB


def test_pools_do_not_lend_to_each_other() -> None:
    allocator = CachingAllocator()
    allocator.free(allocator.allocate(20 * MIB))
    allocator.allocate(MIB)
    assert allocator.reserved_bytes == 22 * MIB


def test_freed_neighbours_become_one_block_again() -> None:
    allocator = CachingAllocator()
    addresses = [allocator.allocate(4 * MIB) for _ in range(5)]
    for address in (addresses[0], addresses[2], addresses[1], addresses[4], addresses[3]):
        allocator.free(address)
    assert sizes(allocator) == [[(20 * MIB, False)]]


def test_fragments_cannot_serve_what_their_sum_could() -> None:
    allocator = CachingAllocator()
    addresses = [allocator.allocate(4 * MIB) for _ in range(5)]
    for address in addresses[::2]:
        allocator.free(address)
    allocator.allocate(8 * MIB)
    assert allocator.reserved_bytes == 40 * MIB


def test_wholly_free_segments_make_room_before_memory_is_out() -> None:
    allocator = CachingAllocator(limit=50 * MIB)
    kept, cached = allocator.allocate(4 * MIB), allocator.allocate(30 * MIB)
    allocator.free(cached)
    allocator.allocate(28 * MIB)  # of what is cached
    with pytest.raises(OutOfDeviceMemory):
        allocator.allocate(24 * MIB)
    assert (allocator.reserved_bytes, allocator.retries) == (50 * MIB, 1)
    allocator.free(cached)
    allocator.allocate(24 * MIB)
    assert (allocator.reserved_bytes, allocator.retries) == (50 * MIB, 1)
    allocator.free(cached)
    allocator.free(kept)
    allocator.allocate(44 * MIB)
    assert (allocator.reserved_bytes, allocator.retries) == (44 * MIB, 2)


def test_an_expandable_segment_grows_by_pages_into_what_is_asked() -> None:
    allocator = CachingAllocator(expandable_segments=True)
    allocator.free(allocator.allocate(30 * MIB))
    assert allocator.reserved_bytes == 40 * MIB
    allocator.allocate(50 * MIB)
    assert allocator.reserved_bytes == 60 * MIB  # 110 MiB in segments of their own
    allocator.allocate(512)
    assert sizes(allocator)[1] == [(512, True), (2 * MIB - 512, False)]


def test_a_wrong_request_is_refused() -> None:
    allocator = CachingAllocator()
    with pytest.raises(ValueError, match="0 bytes"):
        allocator.allocate(0)
    with pytest.raises(KeyError):
        allocator.free(4096)


@given(ROWS, ALLOCATORS)
def test_any_row_keeps_the_books(row: list[tuple[bool, int]], kind: tuple[bool, int | None]) -> None:
    allocator, again = CachingAllocator(*kind), CachingAllocator(*kind)
    used: dict[int, int] = {}
    highest = 0
    for frees, size in row:
        before = allocator.reserved_bytes, allocator.retries
        if frees and used:
            address = sorted(used)[size % len(used)]
            del used[address]
            allocator.free(address)
            again.free(address)
            assert (allocator.reserved_bytes, allocator.retries) == before  # what is freed stays reserved
        elif not frees:
            try:
                address = allocator.allocate(size)
            except OutOfDeviceMemory:
                with pytest.raises(OutOfDeviceMemory):
                    again.allocate(size)
            else:
                assert again.allocate(size) == address
                used[address] = size
        _check(allocator, used)
        highest = max(highest, allocator.reserved_bytes)
    assert allocator.segments() == again.segments()
    assert allocator.peak_reserved_bytes == highest or allocator.retries
    for address in used:
        allocator.free(address)
    assert allocator.allocated_bytes == 0
    assert not any(span.used for segment in allocator.segments() for span in segment)


def _check(allocator: CachingAllocator, used: dict[int, int]) -> None:
    """No overlap, sums that are right, no free neighbours, and every block large enough for its request."""
    spans = [span for segment in allocator.segments() for span in segment]
    for left, right in pairwise(spans):
        assert left.address + left.size <= right.address
    for segment in allocator.segments():
        for left, right in pairwise(segment):
            assert left.used or right.used or left.address + left.size < right.address
    assert {span.address for span in spans if span.used} == set(used)
    assert all(span.size >= used[span.address] for span in spans if span.used)
    assert allocator.allocated_bytes == sum(span.size for span in spans if span.used)
    assert allocator.reserved_bytes == sum(span.size for span in spans)
    assert allocator.allocated_bytes <= allocator.reserved_bytes <= (allocator.limit or allocator.reserved_bytes)
    assert allocator.reserved_bytes % (2 * MIB) == 0
