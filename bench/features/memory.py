"""Places in memory where frozen states are kept while the process lives: the device, and pinned memory beside it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Held", "InMemory", "NoRoom", "Tier"]

Held = Callable[[Hashable], bool]  # whether the states under a key must stay


class NoRoom(Exception):
    """A tier within its limit cannot have the memory all the same."""


class Tier(Protocol):
    """Where states are kept. A key is that of a split (bench/features/store.py), which has states by name."""

    word: str  # "device", "host" or "disk"

    def get(self, key: Hashable, name: str) -> Tensor | None:
        """Return the whole state (one row an image), or None if it is not here."""
        ...

    def make_room(self, size: int, held: Held) -> bool:
        """Return whether `size` bytes can be kept now; what was used longest ago makes room."""
        ...

    def blank(self, key: Hashable, name: str, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Make a tensor to be filled. Raises NoRoom, or OSError of a disk."""
        ...

    def keep(self, key: Hashable, name: str, filled: Tensor) -> Tensor:
        """Keep what was filled, and give it as `get` would."""
        ...

    def abandon(self) -> None:
        """Let go what was to be filled and was not kept."""
        ...


class InMemory:
    """Keeps tensors within `limit` bytes of a device or of the host; what was used longest ago goes first."""

    def __init__(self, word: str, limit: int, device: torch.device) -> None:
        self.word, self.limit = word, limit
        self._device = device if word == "device" else torch.device("cpu")
        self._pinned = word == "host"
        self._states: OrderedDict[tuple[Hashable, str], Tensor] = OrderedDict()  # the one used last at the end

    def get(self, key: Hashable, name: str) -> Tensor | None:
        """Return the whole state, or None."""
        if (key, name) not in self._states:
            return None
        self._states.move_to_end((key, name))
        return self._states[key, name]

    def make_room(self, size: int, held: Held) -> bool:
        """Let go states that are not held until `size` bytes fit; False, and nothing goes, if they cannot."""
        if size > self.limit - sum(state.nbytes for (key, _), state in self._states.items() if held(key)):
            return False
        for key, name in [pair for pair in self._states if not held(pair[0])]:
            if self.used() + size <= self.limit:
                break
            del self._states[key, name]
        return True

    def blank(self, key: Hashable, name: str, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Make a tensor to be filled. Raises NoRoom."""
        try:
            return torch.empty(shape, dtype=kind, device=self._device, pin_memory=self._pinned)
        except (RuntimeError, MemoryError) as error:  # what cannot be pinned is no torch.OutOfMemoryError
            raise NoRoom(f"{self.word}: {error}") from error

    def keep(self, key: Hashable, name: str, filled: Tensor) -> Tensor:
        """Keep a state for which room was made."""
        self._states[key, name] = filled
        return filled

    def abandon(self) -> None:
        """Do nothing: none but those who fill a tensor hold it."""

    def used(self) -> int:
        """Return the bytes of all states."""
        return sum(state.nbytes for state in self._states.values())

    def states(self) -> list[Tensor]:
        """Return all states; none of them counts as used by this."""
        return list(self._states.values())

    def clear(self) -> None:
        """Let go everything."""
        self._states.clear()
