"""Frozen states that are computed once, for all epochs, methods, settings and seeds that read them.

One store a process; it looks for a state on the device, in memory and on disk before it computes it, and computes it
without a graph, in evaluation mode, in the run's precision.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from bench.features.disk import OnDisk
from bench.features.memory import InMemory, NoRoom, Tier
from bench.machine import memory_of
from bench.settings import CacheLimits

__all__ = ["Kept", "Key", "Store", "store_of"]

Compute = Callable[[Tensor], dict[str, Tensor]]  # from images as a split has them to states by name
Batches = Callable[[], Iterable[Tensor]]  # the images in order, on the device; called where something is missing


@dataclass(frozen=True)
class Key:
    """All that the states of a split depend on, besides their names; its text is the same in every process."""

    backbone: str
    weights: str  # digest of the file, version of timm's hub, or seed of random ones
    data: tuple[Hashable, ...]
    numerics: tuple[str, ...]  # statistics of the input, precision, kernel, device, versions
    lasting: bool  # whether a change of the data would change the key: without that, nothing goes to disk
    source: Hashable = field(repr=False)  # of the images; tells tasks of one name apart while the process lives


@dataclass(frozen=True)
class Kept:
    """States of a split by name, where they are, and the seconds that it took to compute those that were missing."""

    states: dict[str, Tensor]
    tiers: tuple[str, ...]
    seconds: float

    @property
    def bytes(self) -> int:
        """What they take."""
        return sum(state.nbytes for state in self.states.values())

    @property
    def kinds(self) -> tuple[str, ...]:
        """Their types, as stored."""
        return tuple(dict.fromkeys(str(state.dtype).removeprefix("torch.") for state in self.states.values()))


class Store:
    """Places from fast to slow; the first one with room takes what is missing, all of it together."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        self.tiers = tiers
        self._held: set[Hashable] = set()
        self._asked: set[Key] = set()

    def asked_before(self, key: Key) -> bool:
        """Return True from the second call with the same key on."""
        before = key in self._asked
        self._asked.add(key)
        return before

    def hold(self, key: Hashable | None) -> None:
        """Keep the split that is trained on from now on in memory; None lets the last one go."""
        self._held = set() if key is None else {key}

    def find(self, key: Key, names: Sequence[str]) -> dict[str, tuple[Tensor, str]]:
        """Return the states that are there, each with the word of its tier."""
        found = {}
        for name in names:
            for tier in self._open_to(key):
                if name not in found and (state := tier.get(key, name)) is not None:
                    found[name] = state, tier.word
        return found

    def kept(self, key: Key, sizes: Mapping[str, int], count: int, batches: Batches, compute: Compute) -> Kept | None:
        """Return the named states of all `count` images, or None if they fit nowhere; `sizes` are bytes an image."""
        found = self.find(key, tuple(sizes))
        missing = [name for name in sizes if name not in found]
        started = time.perf_counter()
        if missing:
            filled = self._filled(key, missing, count * sum(sizes[name] for name in missing), count, batches, compute)
            if filled is None:
                return None
            found |= filled
        states = {name: found[name][0] for name in sizes}
        tiers = tuple(dict.fromkeys(found[name][1] for name in sizes))
        return Kept(states, tiers, time.perf_counter() - started if missing else 0.0)

    def bytes_beside(self, kept: Kept | None) -> int:
        """Return what states take on the device that are not those of `kept`."""
        own = {id(state) for state in kept.states.values()} if kept else set()
        there = [tier for tier in self.tiers if isinstance(tier, InMemory) and tier.word == "device"]
        return sum(state.nbytes for tier in there for state in tier.states() if id(state) not in own)

    def clear(self) -> bool:
        """Let go what is in memory, and return whether there was anything."""
        in_memory = [tier for tier in self.tiers if isinstance(tier, InMemory)]
        used = any(tier.used() for tier in in_memory)
        for tier in in_memory:
            tier.clear()
        return used

    def _filled(
        self, key: Key, names: Sequence[str], size: int, count: int, batches: Batches, compute: Compute
    ) -> dict[str, tuple[Tensor, str]] | None:
        """States of all images, in the first tier that makes room for `size` bytes and can in fact give it."""
        held = {*self._held, key}
        for tier in self._open_to(key):
            if not tier.make_room(size, held.__contains__):
                continue
            try:
                filled = _fill(tier, key, names, count, batches, compute)
                return {name: (tier.keep(key, name, state), tier.word) for name, state in filled.items()}
            except (NoRoom, OSError):  # of memory, or of a disk
                tier.abandon()
            except BaseException:
                tier.abandon()
                raise
        return None

    def _open_to(self, key: Key) -> list[Tier]:
        return [tier for tier in self.tiers if key.lasting or isinstance(tier, InMemory)]


def _fill(
    tier: Tier, key: Key, names: Sequence[str], count: int, batches: Batches, compute: Compute
) -> dict[str, Tensor]:
    """States of all images."""
    filled: dict[str, Tensor] = {}
    start = 0
    for images in batches():
        for name, state in ((name, state) for name, state in compute(images).items() if name in names):
            if name not in filled:
                filled[name] = tier.blank(key, name, (count, *state.shape[1:]), state.dtype)
            filled[name][start : start + len(images)].copy_(state)
        start += len(images)
    return filled


@cache
def store_of(device: torch.device, limits: CacheLimits, folder: Path | None, since: float = 0.0) -> Store:
    """Return the store of this process; what other processes kept on disk before `since` is not read."""
    on_one = -(-limits.processes // torch.cuda.device_count()) if device.type == "cuda" else limits.processes
    quarter = memory_of(device) // 4 // on_one
    tiers: list[Tier] = [InMemory("device", quarter if limits.device is None else limits.device, device)]
    if device.type == "cuda":
        host = memory_of(torch.device("cpu")) // 4 // limits.processes if limits.host is None else limits.host
        tiers.append(InMemory("host", host, device))
    if folder is not None:
        tiers.append(OnDisk(folder, limits.disk, since))
    return Store(tiers)
