"""Panels in the type and colours of all figures; captions stand below them on the page, never in the picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from reports.figures.fonts import FAMILY

__all__ = ["HEIGHT", "PAPER", "WIDE", "panel", "panels"]

PAPER: dict[Any, Any] = {
    "font.family": FAMILY,  # the first comes with matplotlib, so that labels take the same room on every machine
    "font.size": 7.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.parse_math": False,  # names may hold any character
}
WIDTH, HEIGHT = 5.2, 3.2  # inches
WIDE = 7.0  # inches: both columns of a paper


@contextmanager
def panel(x: str, y: str, height: float = HEIGHT) -> Iterator[tuple[Drawing, Axes]]:
    """A drawing with one pair of axes, to be filled in the context."""
    with panels(1, 1, WIDTH, height) as (drawing, rows):
        axes = rows[0][0]
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        yield drawing, axes


@contextmanager
def panels(
    rows: int, columns: int, width: float, height: float, *, grid: bool = True, share_x: bool = False
) -> Iterator[tuple[Drawing, Sequence[Sequence[Axes]]]]:
    """A drawing with rows of axes, to be filled in the context; after it, the layout is final."""
    with mpl.rc_context(PAPER):
        drawing = Drawing(figsize=(width, height), dpi=200, layout="constrained")
        FigureCanvasAgg(drawing)
        table = drawing.subplots(rows, columns, squeeze=False, sharex=share_x)
        for axes in table.flat if grid else ():
            axes.grid(color="0.93", linewidth=0.5)
            axes.set_axisbelow(True)
        yield drawing, table.tolist()
        drawing.draw_without_rendering()
        drawing.set_layout_engine("none")
