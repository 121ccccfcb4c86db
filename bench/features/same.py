"""Whether states that are kept are those that would be computed now: to the last digit, or up to rounding."""

from __future__ import annotations

from enum import IntEnum

from torch import Tensor

__all__ = ["Same", "compared"]

# Of the length of an image's state: about what twelve blocks make of another order of summation, several times over.
ROUNDING = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 5e-2}


class Same(IntEnum):
    """How alike; the least of several counts."""

    NO = 0
    ROUNDED = 1
    EXACT = 2


def compared(kept: Tensor, again: Tensor, precision: str) -> Same:
    """The states of some images, kept and computed again."""
    kept = kept.to(again.device)
    if kept.equal(again):
        return Same.EXACT
    now = again.float().flatten(1)
    far = (kept.float().flatten(1) - now).norm(dim=1)
    return Same.ROUNDED if bool((far <= ROUNDING[precision] * now.norm(dim=1)).all()) else Same.NO
