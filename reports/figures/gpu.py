"""The drawings of the report on a GPU: errors of the plan, bars of speed and energy, CUDA beside the CPU, hours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from reports.figures.style import LABEL, WIDE, draw_bars, draw_method, logarithmic, panels

__all__ = ["draw_differences", "draw_errors", "draw_hours", "draw_speed"]

NAMED = 6  # cases at most that are named at either end
LINE = 0.155  # inches for a method
DOT = 4  # width of a point
SMALLEST = 1e-8  # of the losses' differences, on a logarithmic axis


def draw_errors(errors: Mapping[str, pd.Series], bars: Mapping[str, tuple[float, float]]) -> Drawing:
    """Draw a panel for each kind of peak: the error of every case in per cent, sorted, and the bars it is held to.

    Args:
        errors: By the kind of peak, a share for each case, whose name is in the index: method, then the rest.
        bars: By the kind of peak, the bars of the median and of the worst case, as shares.
    """
    with panels(1, len(errors), WIDE, 3.1) as (drawing, rows):
        for axes, (kind, found) in zip(rows[0], errors.items(), strict=True):
            _draw_errors(axes, 100 * found.sort_values(), bars[kind])
            axes.set_title(f"{kind} peak")
            axes.set_xlabel("cases, sorted")
        rows[0][0].set_ylabel("planned / measured - 1 (%)")
    return drawing


def _draw_errors(axes: Axes, found: pd.Series, bars: tuple[float, float]) -> None:
    """One panel; errors and the height of its axes are in per cent."""
    room = 100 * bars[1]
    low, high = min(-1.3 * room, 1.1 * found.min()), max(1.3 * room, 1.1 * found.max())
    axes.set_xlim(-0.02 * len(found) - 1, 1.17 * len(found) + 1)
    for name, bar, style in (("median", bars[0], ":"), ("worst", bars[1], "--")):
        for side in (-1, 1):
            axes.axhline(side * 100 * bar, color="0.4", linewidth=0.8, linestyle=style)
        words: Any = {"transform": axes.get_yaxis_transform(), "ha": "left", "fontsize": LABEL, "color": "0.3"}
        axes.text(0.01, 100 * bar + 0.01 * (high - low), f"{name} {100 * bar:g} %", **words)
    axes.axhline(0, color="0.4", linewidth=0.8)
    for index, (case, error) in enumerate(found.items()):
        draw_method(axes, str(case), index, error, size=DOT)
    farthest = max(range(len(found)), key=lambda index: abs(found.iloc[index]))
    named = [index for index, error in enumerate(found) if abs(error) > room] or [farthest]
    below = [index for index in named if found.iloc[index] < 0][:NAMED]
    above = [index for index in named if found.iloc[index] > 0][: -NAMED - 1 : -1]
    line = 0.047 * (high - low)
    for indices, edge, side in ((below, low, 1), (above, high, -1)):  # sorted points leave these two corners free
        for rank, index in enumerate(indices):
            height = edge + side * line * (rank + 0.8)
            x = (0.30 if side > 0 else 0.66) * len(found)
            axes.annotate(
                str(found.index[index]), (index, found.iloc[index]), xytext=(x, height), fontsize=LABEL,
                va="center", ha="left" if side > 0 else "right",
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "0.5", "relpos": (0 if side > 0 else 1, 0.5),
                            "shrinkA": 0, "shrinkB": 2},
            )  # fmt: skip
    axes.set_ylim(low, high)


def draw_speed(rows: pd.DataFrame, quantities: Mapping[str, str], marks: Mapping[str, tuple[float, str]]) -> Drawing:
    """Draw a panel of bars for each quantity, with its range where columns `<quantity>_low`, `_high` hold it.

    Args:
        rows: One for each bar, from the top down, named by the column `label`.
        quantities: Columns of `rows` and what their axes are called.
        marks: By column, a value that is marked by a line, and its name.
    """
    with panels(1, len(quantities), WIDE, 1.0 + LINE * len(rows)) as (drawing, table):
        for axes, (name, heading) in zip(table[0], quantities.items(), strict=True):
            draw_bars(axes, list(rows["label"]), list(rows[name].fillna(0.0)))
            low, high = f"{name}_low", f"{name}_high"
            if {low, high} <= set(rows):
                spans = [rows[name] - rows[low], rows[high] - rows[name]]
                axes.errorbar(rows[name], range(len(rows)), xerr=[span.clip(lower=0).fillna(0.0) for span in spans],
                              fmt="none", ecolor="0.5", elinewidth=0.9, capsize=1.4)  # fmt: skip
            if name in marks:
                _mark(axes, *marks[name])
            axes.set_xlabel(heading)
        for axes in table[0][1:]:
            axes.set_yticklabels([])
    return drawing


def _mark(axes: Axes, value: float, name: str) -> None:
    axes.axvline(value, color="0.3", linestyle="--", linewidth=0.8, zorder=3)
    left, right = axes.get_xlim()
    axes.set_xlim(left, max(right, 1.08 * value))
    axes.annotate(name, (value, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2), textcoords="offset points",
                  ha="center", fontsize=LABEL)  # fmt: skip


def draw_differences(rows: pd.DataFrame) -> Drawing:
    """Draw a point for each run on either side: accuracy less that on the CPU, and the losses' largest difference."""
    methods = list(dict.fromkeys(rows["method"]))
    accuracy = 100 * (rows["test_accuracy"] - rows["cpu_test_accuracy"])
    loss = rows["loss_difference"].clip(lower=SMALLEST)
    with panels(1, 2, WIDE, 1.0 + LINE * len(methods), sharey=True) as (drawing, table):
        left, right = table[0]
        for axes, values in ((left, accuracy), (right, loss)):
            for method, value in zip(rows["method"], values, strict=True):
                draw_method(axes, method, value, methods.index(method), size=DOT)
            axes.tick_params(axis="y", length=0)
        left.set_yticks(range(len(methods)), methods)
        left.set_ylim(len(methods) - 0.3, -0.7)
        left.axvline(0, color="0.4", linewidth=0.8)
        logarithmic(right, "x", list(loss))
        left.set_xlabel("test accuracy, device - CPU (points)")
        right.set_xlabel("training loss, largest difference of an epoch")
    return drawing


def draw_hours(rows: pd.DataFrame) -> Drawing:
    """Draw the hours of training and, after them, of testing, a bar for each method, from the top down."""
    with panels(1, 1, 5.2, 0.9 + LINE * len(rows)) as (drawing, table):
        axes = table[0][0]
        draw_bars(axes, list(rows["method"]), list(rows["train_hours"] + rows["test_hours"]), color="0.8")
        testing: Any = axes.containers[0]
        draw_bars(axes, list(rows["method"]), list(rows["train_hours"]))
        axes.set_xlabel("hours")
        drawing.legend([testing], ["testing"], frameon=False, loc="outside upper right")
    return drawing
