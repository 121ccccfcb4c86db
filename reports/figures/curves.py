"""Figures of curves on seaborn's facet grids: accuracy against shots, and training over its epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures.labels import make_room, name_ends
from reports.figures.style import (
    FAMILIES,
    LABEL,
    WIDE,
    draw_method,
    family_of,
    keep_ticks,
    logarithmic,
    look,
    settle,
    shown,
    theme,
)

__all__ = ["MANY", "Curve", "draw_shots", "draw_training"]

MEAN = "mean"  # the panel of the plain mean over all sets
ACROSS, SET_HEIGHT = 3, 2.1  # panels in a row, and inches of a row
MANY = 8  # methods; from more on, each family has a row of its own
NAMED = 20  # methods of a row at most
ROW, ALONE = 1.35, 2.5  # inches of a row of panels, and of one that is alone
LOSS = "training loss"
COLORS = [*sns.color_palette("dark"), *sns.color_palette("bright")]  # of the methods of one family

Points = Mapping[tuple[str, int], tuple[float, float]]  # by set and shots: accuracy and its deviation, in %


@dataclass(frozen=True)
class Curve:
    """A method's accuracies by set and shots; those that a publication printed are drawn apart."""

    method: str
    printed: bool
    points: Points

    def line(self, name: str) -> list[tuple[int, float, float]]:
        """Shots, accuracy and deviation on one set, by rising shots."""
        return [(shots, *pair) for (known, shots), pair in sorted(self.points.items()) if known == name]

    def mean(self, names: Sequence[str]) -> list[tuple[int, float, float]]:
        """The plain mean over the sets at each number of shots that all of them have."""
        found = []
        for shots in sorted({shots for _, shots in self.points}):
            values = [self.points[name, shots][0] for name in names if (name, shots) in self.points]
            found += [(shots, fmean(values), 0.0)] if len(values) == len(names) else []
        return found


def draw_shots(curves: Sequence[Curve], names: Sequence[str]) -> Drawing:
    """Draw accuracy against shots: a panel for each set and one for their mean, where the lines of ours are named."""
    sets = [*names, *([MEAN] if len(names) > 1 else [])]
    lines = {name: [curve.mean(names) if name == MEAN else curve.line(name) for curve in curves] for name in sets}
    with theme():
        grid = _grid(pd.DataFrame({"set": sets}), col="set", col_order=sets, col_wrap=min(ACROSS, len(sets)),
                     height=SET_HEIGHT, aspect=WIDE / ACROSS / SET_HEIGHT, sharey=False)  # fmt: skip
        shots = sorted({point[0] for each in lines.values() for line in each for point in line})
        for name, axes in grid.axes_dict.items():
            for curve, line in zip(curves, lines[name], strict=True):
                if line:
                    _draw_line(axes, curve, line)
            axes.set_title(shown(name))
            axes.set_xlabel("shots")
            axes.set_ylabel("accuracy (%)")
            logarithmic(axes, "x", shots, base=2, only=True)
        last = [(c, line) for c, line in zip(curves, lines[sets[-1]], strict=True) if line and not c.printed]
        make_room(grid.figure, 1, [curve.method for curve, _ in last] or [""])
        settle(grid.figure)
    name_ends(grid.axes_dict[sets[-1]], [curve.method for curve, _ in last], [line[-1][:2] for _, line in last])
    return grid.figure


def draw_training(
    quantities: Mapping[str, Mapping[str, np.ndarray]], ends: Mapping[str, Mapping[str, np.ndarray]] | None = None
) -> Drawing:
    """Draw each quantity over the epochs in a column; with many methods, each family in a row, the others in grey.

    Args:
        quantities: By what is drawn and by method, a row an epoch: (epoch, value).
        ends: Likewise, what is drawn beside the curves as open markers.
    """
    methods = list(dict.fromkeys(method for curves in quantities.values() for method in curves))
    many = len(methods) > MANY
    rows = {method: family_of(method) if many else "" for method in methods}
    order = [row for row in [*FAMILIES, *rows.values()] if row in rows.values()]
    table = pd.DataFrame([(rows[m], title) for title, curves in quantities.items() for m in curves],
                         columns=["family", "quantity"])  # fmt: skip
    height = ROW if many else ALONE
    with theme():
        grid = _grid(table, row="family", row_order=list(dict.fromkeys(order)), col="quantity",
                     col_order=list(quantities), height=height, aspect=WIDE / (len(quantities) + 0.8) / height,
                     sharey="col", margin_titles=True)  # fmt: skip
        grid.figure.set_figwidth(WIDE)
        for (family, title), axes in grid.axes_dict.items():
            own = [method for method in methods if rows[method] == family]
            _draw_training(axes, quantities[title], own, apart=many)
            _draw_ends(axes, (ends or {}).get(title, {}), own, apart=many)
            if title == LOSS and all((points[:, 1] > 0).all() for points in quantities[title].values()):
                logarithmic(axes, "y", [v for points in quantities[title].values() for v in points[:, 1]])
        grid.set_titles(template="", row_template="", col_template="")
        for axes, title in zip(grid.axes[0], quantities, strict=True):
            axes.set_title(shown(title), loc="left")
        for axes, family in zip(grid.axes[:, 0], grid.row_names, strict=True):
            axes.set_ylabel(family)
        grid.set_xlabels("epoch")
        for row, family in zip(grid.axes, grid.row_names, strict=True):
            _legend(row, [method for method in methods if rows[method] == family])
        settle(grid.figure)
    return grid.figure


def _grid(data: pd.DataFrame, **layout: Any) -> sns.FacetGrid:
    """An empty grid of panels; pyplot, which made it, forgets it."""
    grid = sns.FacetGrid(data, **layout)
    plt.close(grid.figure)
    keep_ticks(grid.axes.flat)
    grid.figure.set_dpi(200)
    grid.figure.set_layout_engine("constrained")
    return grid


def _draw_line(axes: Axes, curve: Curve, line: Sequence[tuple[int, float, float]]) -> None:
    shots, values, spreads = zip(*line, strict=True)
    dashes: Any = (0, (3, 2)) if curve.printed else "-"
    draw_method(axes, curve.method, shots, values, spread=spreads, size=4, line=dashes, hollow=curve.printed)


def _draw_training(axes: Axes, curves: Mapping[str, np.ndarray], own: Sequence[str], *, apart: bool) -> None:
    """The curves of some methods over all others in grey; `apart` gives each its own colour, not its family's."""
    others = [points.astype(float) for method, points in curves.items() if method not in own]
    if others:
        gap = np.full((1, 2), np.nan)
        joined = np.vstack(
            [part for points in others for part in (points, gap)]
        )  # one artist is drawn sooner than many
        axes.plot(*joined.T, color="0.88", linewidth=0.6, zorder=1)
    for place, method in enumerate(own):
        if method in curves:
            points = curves[method]
            color = _color(method, place, apart)
            step = max(1, len(points) // 4)
            draw_method(
                axes,
                method,
                points[:, 0],
                points[:, 1],
                line="-",
                size=3.4,
                label=method,
                color=color,
                markerfacecolor=color,
                markeredgewidth=0.3,
                markevery=(place % step, step),
            )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))


def _draw_ends(axes: Axes, ends: Mapping[str, np.ndarray], own: Sequence[str], *, apart: bool) -> None:
    for index, method in enumerate(own):
        if method in ends:
            color = _color(method, index, apart)
            draw_method(axes, method, *ends[method].T, size=4, hollow=True, color=color, markeredgecolor=color,
                        markeredgewidth=0.9)  # fmt: skip


def _color(method: str, index: int, apart: bool) -> Any:
    """The colour of a method's family, or one of its own among those of the family."""
    return COLORS[index % len(COLORS)] if apart else look(method).line


def _legend(row: Sequence[Axes], methods: Sequence[str]) -> None:
    """The names of a row's methods beside its last panel."""
    handles: dict[str, Any] = {
        label: handle for axes in row for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    known = [method for method in methods if method in handles]
    named = {method: handles[method][0] for method in known[:NAMED]}
    if len(known) > NAMED:
        named[f"and {len(known) - NAMED} more"] = Line2D([], [], linestyle="")
    row[-1].legend(named.values(), named.keys(), loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False,
                   fontsize=LABEL, ncols=1 + (len(named) > MANY), labelspacing=0.25, handlelength=1.4,
                   columnspacing=0.8, handletextpad=0.4, borderpad=0)  # fmt: skip
