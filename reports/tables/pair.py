"""The two tables of a suite: our runs, and our runs beside what was printed for their backbone."""

from __future__ import annotations

from collections.abc import Sequence

from reports.tables import ours
from reports.tables import published_beside as beside
from reports.tables.comparison import Comparison
from reports.tables.layout import Layout
from reports.tables.published import published, unknown_weights
from reports.tables.table import Table

__all__ = ["pair"]


def pair(subject: str, comparison: Comparison, notes: Sequence[str], layout: Layout) -> list[Table]:
    """`subject` is the report's name and that of the published numbers; without a row that fits, there is one table."""
    name = comparison.name  # which starts with the suite, as the report does
    rows = published(subject, comparison)
    found = beside.table(f"{name}-published", comparison, layout, rows, [*notes, *unknown_weights(comparison)])
    return [ours.table(name, comparison, layout, notes), *([found] if found is not None else [])]
