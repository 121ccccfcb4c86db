"""Few-shot tasks are a set at a number of shots, `food101-shots4`; here they are taken apart."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["SETS", "set_and_shots", "sets_of"]

SETS = ("food101", "cars", "flowers102", "aircraft", "pets")  # the order of the published figures


def set_and_shots(task: str) -> tuple[str, int] | None:
    """`food101-shots4` is ("food101", 4); None for a name that does not say how many shots."""
    name, _, shots = task.partition("-shots")
    return (name, int(shots)) if shots.isdecimal() else None


def sets_of(names: Iterable[str]) -> list[str]:
    """Those of the published figures in their order, then others."""
    seen = set(names)
    return [name for name in SETS if name in seen] + sorted(seen - set(SETS))
