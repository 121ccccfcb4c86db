"""A bounded shelf in memory: what was used longest ago goes first when there is no room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Shelf"]

Value = TypeVar("Value")


class Shelf(Generic[Value]):
    """Values by key, together never above `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._items: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        """The value, which is now the one used last; None if it is not here."""
        if key not in self._items:
            return None
        self._items.move_to_end(key)
        return self._items[key][0]

    def make_room(self, size: int, held: Callable[[Hashable], bool] = lambda _: False) -> bool:
        """Let go what was used longest ago, apart from what is held, until `size` bytes fit; False if they cannot."""
        if size > self.limit - sum(bytes_ for key, (_, bytes_) in self._items.items() if held(key)):
            return False
        for key in [key for key in self._items if not held(key)]:
            if self.used() + size <= self.limit:
                break
            del self._items[key]
        return True

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """Keep a value for which room was made."""
        self._items[key] = value, size

    def used(self) -> int:
        """Bytes of all values."""
        return sum(size for _, size in self._items.values())

    def values(self) -> list[Value]:
        """All of them, and none of them counts as used by this."""
        return [value for value, _ in self._items.values()]

    def clear(self) -> None:
        """Let go everything."""
        self._items.clear()
