"""Frozen values as plain JSON types and back, so that they travel as words and nothing is unpickled."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

__all__ = ["made", "plain"]


def plain(value: Any) -> Any:
    """Dataclasses as tables, paths as text, sets as sorted lists; what JSON knows stays."""
    if dataclasses.is_dataclass(value):
        return {part.name: plain(getattr(value, part.name)) for part in dataclasses.fields(value)}
    if isinstance(value, frozenset):
        return sorted(map(plain, value))
    return str(value) if isinstance(value, Path) else value


def made(hint: Any, value: Any) -> Any:
    """The value of type `hint` that `plain` made this of."""
    if dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{name: made(hints[name], part) for name, part in value.items()})  # type: ignore[operator]
    if (kind := get_origin(hint)) in (frozenset, tuple):
        return kind(value)
    return Path(value) if value is not None and Path in (hint, *get_args(hint)) else value
