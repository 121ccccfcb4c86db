"""How SynQT's head weighs what its queries read of each block, image by image (SynQT, appendix Figure 2)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from reports.figures.style import WIDE, first_axes, panels, shown
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons
from reports.tables.kept_features import Arrays, kept_by_line, pick
from reports.tables.table import Figure
from results import slug

__all__ = ["report", "shares"]

IMAGES, ACROSS = 50, 3
GROUPS = ("H", "A", "M")
GAP = 2  # columns between groups
COLORS = "YlGnBu"  # from light to dark, so that it reads in grey
LEGEND = (
    f"|w| of {IMAGES} test images, one a line, in the order of their classes; one seed. H: token means of the queries "
    "that leave block 1 to L; A and M: of what attention and MLP of the block added. Of all |w|, the shares above 0.8 "
    "and below 0.2 stand above each panel."
)


def report(runs: pd.DataFrame) -> list[Figure]:
    """A figure for each line of SynQT of which runs kept features (`--keep features`)."""
    return [
        _figure(comparison, line, tasks)
        for comparison in comparisons(runs)
        for line, tasks in kept_by_line(comparison, lambda label: label.startswith("synqt")).items()
    ]


def shares(weights: np.ndarray) -> tuple[float, float]:
    """Return which share of the absolute weights is above 0.8 and which below 0.2."""
    size = np.abs(weights)
    return float((size > 0.8).mean()), float((size < 0.2).mean())


def _figure(comparison: Comparison, line: str, tasks: Mapping[str, Arrays]) -> Figure:
    caption = f"{conditions(comparison)} {line}. {LEGEND}"
    columns = min(ACROSS, len(tasks))
    rows = -(-len(tasks) // columns)
    width = WIDE * (columns + 0.3) / (ACROSS + 0.3)
    with panels(rows, columns, width, 0.3 + 1.75 * rows, grid=False) as (drawing, table):
        for each, (task, arrays) in zip(first_axes(table, len(tasks)), tasks.items(), strict=True):
            picture = _draw(each, task, arrays)
        axes = [each for row in table for each in row]
        drawing.colorbar(picture, ax=axes, label="|w|", shrink=min(1.0, 1.6 / rows), aspect=30, pad=0.015)
    return Figure(f"feature_importance-{comparison.name}-{slug(line)}", caption, drawing)


def _draw(axes: Axes, task: str, arrays: Arrays) -> AxesImage:
    """One task: three groups of blocks side by side, a gap between them."""
    weights = np.abs(arrays["weights"][pick(arrays["labels"], IMAGES)])
    depth = weights.shape[1] // len(GROUPS)
    apart = np.full((len(weights), GAP), np.nan)
    parts = [part for group in np.split(weights, len(GROUPS), axis=1) for part in (group, apart)][:-1]
    picture = axes.imshow(np.hstack(parts), aspect="auto", interpolation="none", cmap=COLORS, vmin=0, vmax=1)
    starts = [group * (depth + GAP) for group in range(len(GROUPS))]
    ticks = [(start + mark, str(mark + 1)) for start in starts for mark in sorted({0, depth - 1})]
    axes.set_xticks([index for index, _ in ticks], [name for _, name in ticks], fontsize=6)
    for start, name in zip(starts, GROUPS, strict=True):
        middle = (start + (depth - 1) / 2, -0.04)
        axes.text(*middle, name, transform=axes.get_xaxis_transform(), ha="center", va="top")
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    above, below = shares(weights)
    axes.set_title(f"{shown(task)}   > 0.8: {above:.0%}   < 0.2: {below:.0%}", fontsize=7, loc="left")
    return picture
