"""Few-shot tasks by set and number of shots, whatever the way in which their names say so."""

from __future__ import annotations

import re

import pandas as pd

from reports.order import natural

__all__ = ["SETS", "by_shots", "set_and_shots", "sets_of"]

SHOTS = re.compile(r"(?P<name>.+?)[-_]?(?:shots?[-_=]?(?P<behind>\d+)|(?P<before>\d+)[-_]?shots?)$")
SETS = ("food101", "stanford_cars", "oxford_flowers102", "fgvc_aircraft", "oxford_pets")  # the order of the figures
OTHER_NAMES = {
    "aircraft": "fgvc_aircraft",
    "cars": "stanford_cars",
    "standford_cars": "stanford_cars",  # as NOAH's folder is called
    "flowers102": "oxford_flowers102",
    "oxford_flowers": "oxford_flowers102",
    "pets": "oxford_pets",
    "oxford_iiit_pet": "oxford_pets",
    "food_101": "food101",
}


def set_and_shots(task: str) -> tuple[str, int] | None:
    """`food101-shots4` is ("food101", 4); None for a name without a number of shots."""
    found = SHOTS.match(task)
    if found is None:
        return None
    name = found["name"].lower().replace("-", "_")
    return OTHER_NAMES.get(name, name), int(found["behind"] or found["before"])


def by_shots(runs: pd.DataFrame) -> pd.DataFrame:
    """The few-shot runs with their tasks named as the published ones are, grouped and placed by shots, then by set."""
    if runs.empty:
        return runs
    parsed = [set_and_shots(task) for task in runs["task"]]
    kept = runs[[pair is not None for pair in parsed]]
    pairs = [pair for pair in parsed if pair is not None]
    order = sets_of(name for name, _ in pairs)
    return kept.assign(
        task=[f"{name}-shots{shots}" for name, shots in pairs],
        group=[f"{shots}-shot" for _, shots in pairs],
        place=[shots * len(order) + order.index(name) for name, shots in pairs],
    )


def sets_of(names: object) -> list[str]:
    """Those of the published figures in their order, then others."""
    seen = {str(name) for name in names}  # type: ignore[attr-defined]
    return [name for name in SETS if name in seen] + sorted(seen - set(SETS), key=natural)
