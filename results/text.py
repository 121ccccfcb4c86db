"""File names as text that can be shown, written and hashed anywhere, whatever their bytes are."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["numbered", "readable", "readable_json", "size_unit", "sized"]

LONE = re.compile("[\ud800-\udfff]")  # how Python holds bytes of a name that are not UTF-8; no encoding takes them


def readable(text: str) -> str:
    r"""The text with each byte that is not UTF-8 as `\xe9`; any other text is returned as it is."""
    return text if text.isascii() else LONE.sub(_escaped, text)


def readable_json(value: Any) -> Any:
    """The value with every text in it readable, keys included."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, dict):
        return {readable_json(key): readable_json(item) for key, item in value.items()}
    return [readable_json(item) for item in value] if isinstance(value, list) else value


def numbered(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun, in the plural for all numbers but one: `1 run`, `2 runs`."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def sized(size: float) -> str:
    """An amount of memory, which is given in bytes: `1.5 GiB`, `312 MiB`."""
    unit, name = size_unit(size)
    return f"{size / unit:.1f} {name}" if name == "GiB" else f"{size / unit:.0f} {name}"


def size_unit(size: float) -> tuple[int, str]:
    """The bytes of the unit in which so many are said, and its name."""
    return (2**30, "GiB") if size >= 2**30 else (2**20, "MiB")


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
