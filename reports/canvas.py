"""One panel with its conditions printed below it, in the type and colours of all figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing

from reports.tradeoff import LINE, PAPER, SMALL

__all__ = ["panel"]

WIDTH, HEIGHT = 5.2, 3.2  # inches
PRINT = 126  # characters of the small print in a line


@contextmanager
def panel(caption: str, x: str, y: str) -> Iterator[tuple[Drawing, Axes]]:
    """A drawing with one pair of axes, to be filled in the context."""
    small_print = textwrap.wrap(caption, PRINT)
    with mpl.rc_context(PAPER):
        drawing = Drawing(figsize=(WIDTH, HEIGHT + LINE * len(small_print)), dpi=200, layout="constrained")
        FigureCanvasAgg(drawing)
        axes = drawing.subplots()
        axes.grid(color="0.93", linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        yield drawing, axes
        drawing.supxlabel("\n".join(small_print), x=0.01, ha="left", fontsize=SMALL, color="0.25", linespacing=1.3)
        drawing.draw_without_rendering()
