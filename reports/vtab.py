"""VTAB-1k task by task with both averages, and beside the published rows (SynQT Tables 2 and 3, DTL, VPT, OSU)."""

from __future__ import annotations

import pandas as pd

from reports.base import Table
from reports.order import tasks_by_group
from reports.pair import pair
from reports.suites import of_suite

__all__ = ["report"]

SUITE = "vtab"


def report(runs: pd.DataFrame) -> list[Table]:
    """Two tables for each backbone and recipe: ours, and ours beside what was printed for that backbone."""
    held = of_suite(runs, SUITE)
    return [table for each in held for table in pair(SUITE, *each, tasks_by_group(each[0].runs))]
