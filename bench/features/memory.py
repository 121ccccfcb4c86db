"""Places in memory where frozen states are kept while the process lives: the device, and pinned memory beside it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol

import torch
from torch import Tensor

from bench.data.shelf import Shelf

__all__ = ["Held", "InMemory", "NoRoom", "Place"]

Held = Callable[[Hashable], bool]  # whether the states under a key must stay


class NoRoom(Exception):
    """A place within its limit cannot have the memory all the same."""


class Place(Protocol):
    """Where states are kept. A key is that of a split (bench/features/store.py), which has states by name."""

    word: str  # "device", "host" or "disk"

    def get(self, key: Hashable, name: str) -> Tensor | None:
        """The whole state (one row an image), or None if it is not here."""
        ...

    def make_room(self, size: int, held: Held) -> bool:
        """Whether `size` bytes can be kept now; what was used longest ago makes room."""
        ...

    def blank(self, key: Hashable, name: str, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """A tensor to be filled. Raises NoRoom, or OSError of a disk."""
        ...

    def keep(self, key: Hashable, name: str, filled: Tensor) -> Tensor:
        """Keep what was filled, and give it as `get` would."""
        ...

    def abandon(self) -> None:
        """Let go what was to be filled and was not kept."""
        ...


class InMemory:
    """A shelf of tensors; pinned ones are made by `host`."""

    def __init__(self, word: str, limit: int, device: torch.device) -> None:
        self.word = word
        self._device = device if word == "device" else torch.device("cpu")
        self._pinned = word == "host"
        self.shelf: Shelf[Tensor] = Shelf(limit)

    def get(self, key: Hashable, name: str) -> Tensor | None:
        """The whole state, or None."""
        return self.shelf.get((key, name))

    def make_room(self, size: int, held: Held) -> bool:
        """Whether it fits now."""
        return self.shelf.make_room(size, lambda pair: held(pair[0]))  # type: ignore[index]

    def blank(self, key: Hashable, name: str, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """Memory for it. Raises NoRoom."""
        try:
            return torch.empty(shape, dtype=kind, device=self._device, pin_memory=self._pinned)
        except (RuntimeError, MemoryError) as error:  # what cannot be pinned is no torch.OutOfMemoryError
            raise NoRoom(f"{self.word}: {error}") from error

    def keep(self, key: Hashable, name: str, filled: Tensor) -> Tensor:
        """Put it on the shelf."""
        self.shelf.put((key, name), filled, filled.nbytes)
        return filled

    def abandon(self) -> None:
        """Nothing holds it but those who fill it."""
