"""Draws the figure of a report into a figure of one's own, for a paper or a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reports.discovery import READS, find, pick, why_nothing
from reports.tables.table import Figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["draw"]


def draw(name: str, axes: Axes, **tables: pd.DataFrame) -> str:
    """Draw the first figure of a report in the place of `axes`, and return its caption.

    The axes are removed: the report makes as many as it has panels, with its legend, in a part of the figure that takes
    their place; `figure.subfigs[-1].axes` are these. Give the figure `layout="constrained"`.

    Args:
        name: A report, as `python bench.py list reports` names it.
        axes: Axes of a grid (`plt.subplots`, a GridSpec).
        tables: The data frames that the report reads, by name: `runs=results.read_runs()`,
            `costs=results.read_costs()`. Rows that are not wanted are left out of them.

    Raises:
        ValueError: There is no such report, it reads other tables, or it has no figure of them.
    """
    from reports.figures.style import drawn_in

    (name,) = pick([name])
    if not tables or not tables.keys() <= set(READS[name]):
        raise ValueError(f"report {name} reads {', '.join(READS[name])}; given was {', '.join(tables) or 'nothing'}")
    with drawn_in(axes) as part:
        items = find(name)(*(tables.get(kind) for kind in READS[name]))
    for item in items:
        if isinstance(item, Figure) and item.drawing is part:
            return item.caption
    if any(isinstance(item, Figure) for item in items):
        raise ValueError(f"report {name} lays out a figure of its own; call `find` and take `drawing` of what it gives")
    raise ValueError(f"report {name} draws nothing of these rows; {why_nothing(name) or 'none of them is for it'}")
