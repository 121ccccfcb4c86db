"""VTAB-1k task by task with both averages, and beside the published rows (SynQT Tables 2 and 3, DTL, VPT, OSU)."""

from __future__ import annotations

import pandas as pd

from reports.tables.comparison import tasks_by_group
from reports.tables.ours import Layout
from reports.tables.published import tables_alone
from reports.tables.published_beside import pair
from reports.tables.summary import of_suite
from reports.tables.table import Table

__all__ = ["SIZES", "published", "report"]

SUITE = "vtab"
SIZES = {"natural": 7, "specialized": 4, "structured": 8}


def report(runs: pd.DataFrame) -> list[Table]:
    """Two tables for each backbone and recipe: ours, and ours beside what was printed for that backbone."""
    held = of_suite(runs, SUITE)
    return [table for each in held for table in pair(SUITE, *each, Layout(tasks_by_group(each[0].runs), SIZES))]


def published() -> list[Table]:
    """The publications' numbers alone, one table for each backbone and pre-training."""
    return tables_alone(SUITE, SIZES)
