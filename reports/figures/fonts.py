"""The type of figures: matplotlib's own, then fonts of this machine for other scripts, then plain words.

Names of classes and folders may be in any script. A character that no font here has is written without its accent, or
as its number, `<5DE6>`, so that two names never look the same and none is a row of boxes.
"""

from __future__ import annotations

import unicodedata
from functools import cache

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

__all__ = ["FAMILY", "shown"]

FIRST = "DejaVu Sans"
WIDE = (
    "Noto Sans CJK",
    "Source Han Sans",
    "WenQuanYi",
    "Droid Sans Fallback",
    "Noto Sans",
    "IPA",
    "Unifont",
    "Arial U",
)


def _family() -> list[str]:
    """The first font, and those of this machine that have many scripts, the widest first."""
    there = sorted({font.name for font in font_manager.fontManager.ttflist})
    return [FIRST, *(name for start in WIDE for name in there if name.startswith(start))][:8]


FAMILY = _family()


def shown(text: str) -> str:
    """The text with plain characters in place of those that no font of the family has."""
    return "".join(character if ord(character) in _characters() else _plain(character) for character in text)


@cache
def _characters() -> frozenset[int]:
    """Every character that one of the fonts has."""
    paths = [font_manager.findfont(name) for name in FAMILY]
    return frozenset(code for path in paths for code in FT2Font(path).get_charmap())


def _plain(character: str) -> str:
    text = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return text or ("\n" if character == "\n" else f"<{ord(character):04X}>")
