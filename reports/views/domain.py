"""Domain generalisation: trained on ImageNet, tested on it and on four shifted test sets, with their mean."""

from __future__ import annotations

import pandas as pd

from reports.tables import ours
from reports.tables.ours import Layout
from reports.tables.summary import of_suite
from reports.tables.table import Table

__all__ = ["report"]

SUITE = "domain"
SOURCE, SHIFTED = "source", "shifted"
SIZES = {SOURCE: 1, SHIFTED: 4}
NOTE = "No publication's numbers stand beside these: none could be read (docs/protocols.md, 11)."


def report(runs: pd.DataFrame) -> list[Table]:
    """One table for each backbone and recipe."""
    if runs.empty:
        return []
    apart = runs.assign(group=[SOURCE if task == "imagenet" else SHIFTED for task in runs["task"]])
    return [
        ours.table(comparison.name, comparison, _layout(comparison.runs), (*notes, NOTE))
        for comparison, notes in of_suite(apart, SUITE)
    ]


def _layout(runs: pd.DataFrame) -> Layout:
    """The training set's own test set first."""
    placed = runs.sort_values("place", kind="stable") if "place" in runs else runs
    tasks = list(dict.fromkeys(placed["task"]))
    groups = {SOURCE: [task for task in tasks if task == "imagenet"], SHIFTED: [t for t in tasks if t != "imagenet"]}
    return Layout({group: members for group, members in groups.items() if members}, SIZES, averages=False)
