"""The order in which groups, tasks and methods are shown."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

__all__ = ["in_order", "natural", "tasks_by_group"]

GROUPS = ("natural", "specialized", "structured")  # the order of the published tables; other groups follow
BASELINES = ("full", "linear")  # every published table starts with these


def tasks_by_group(runs: pd.DataFrame) -> dict[str, list[str]]:
    """Return the tasks of each group by their place in the suite; the groups of VTAB come first, in its order."""
    placed = runs.sort_values("place", kind="stable") if "place" in runs else runs
    seen: dict[str, list[str]] = {}
    for group, task in placed[["group", "task"]].drop_duplicates("task").itertuples(index=False):
        seen.setdefault(group, []).append(task)
    known = [group for group in GROUPS if group in seen]
    return {group: seen[group] for group in dict.fromkeys([*known, *seen])}


def in_order(methods: Iterable[str]) -> list[str]:
    """Order methods: baselines first, then alphabetically with numbers by size."""
    names = {method: re.split(r"[: ]", method)[0] for method in methods}
    places = {method: BASELINES.index(name) if name in BASELINES else len(BASELINES) for method, name in names.items()}
    return sorted(names, key=lambda method: (places[method], natural(method)))


def natural(text: str) -> list[tuple[int, str]]:
    """Return a key that sorts `lora:rank=4` before `lora:rank=16`."""
    return [(int(piece), "") if piece.isdecimal() else (-1, piece) for piece in re.split(r"(\d+)", text)]
