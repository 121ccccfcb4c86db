"""What fills the memory of each method's training step, and what full fine-tuning saves, option upon option."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from reports.figures.style import PARTS, panel
from reports.tables.costs import Alike, alike, number
from reports.tables.table import GIBIBYTES, METRICS, Cell, Column, Figure, Metric, Table, natural

__all__ = ["NOTHING", "report"]

NOTHING = "no conditions have full fine-tuning with every option of the ladder; `report memory_ladder` plans them"
PLAIN = {
    "attention": "fused",
    "activations": "",
    "checkpointing": False,
    "optimizer_in_backward": False,
    "eight_bit": False,
}
STEPS: Sequence[tuple[str, Mapping[str, object]]] = (  # each changes what it says and leaves the steps above it on
    ("full, eager attention", PLAIN | {"attention": "eager"}),
    ("+ fused attention", {"attention": "fused"}),
    ("+ MS-LN", {"activations": "ms_ln"}),
    ("+ ReGELU2", {"activations": "regelu2,ms_ln"}),
    ("+ checkpointing", {"checkpointing": True}),
    ("+ 8-bit AdamW", {"eight_bit": True}),
)
SAVED = Metric("saved by this step", "GiB", GIBIBYTES, 2)
LEGEND = (
    "What is alive at the planned peak of a training step. Methods have their default settings and fused attention, "
    "and no option that saves memory. The lighter bars are full fine-tuning, each with the options of the bars above "
    "it too, and in brackets what its own option saves there, which depends on the order; the dotted line is the last "
    "of them. Most gradients come after the peak, when activations are free again. ReGELU2 and 8-bit AdamW change "
    "training a little; MS-LN keeps gradients exact but lets the optimiser take other steps."
)
ROW, AROUND = 0.145, 0.9  # inches of a bar with its gap, and of what is above and below all bars
GAP = 0.8  # bars between the methods and the ladder
WHITE = 0.45  # share in the colours of the lighter bars


@dataclass(frozen=True)
class Bar:
    """A labelled peak with its parts in bytes; a step of the ladder knows what it saves on the one above it."""

    label: str
    parts: Mapping[str, float]
    peak: float
    step: bool = False
    saved: float | None = None

    @classmethod
    def of(cls, label: str, line: Mapping[Any, Any], step: bool = False) -> Bar:
        """Make a bar from a row of the data frame."""
        parts = {part: number(line.get(f"planned_{part}_bytes")) or 0.0 for part in PARTS}
        return cls(label, parts, float(line["planned_peak_bytes"]), step)

    @property
    def end(self) -> str:
        """The text at the end of the bar: the peak, and what this step saves."""
        saved = "" if self.saved is None else f"  ({-self.saved * GIBIBYTES:+.2f})".replace("-", "\N{MINUS SIGN}")
        return f"{self.peak * GIBIBYTES:.2f}{saved}"


def report(costs: pd.DataFrame) -> list[Table | Figure]:
    """A table and a figure for each set of conditions under which every step of the ladder is known."""
    eight_bit = costs["optimizer"] == "adamw8bit"
    costs = costs.assign(eight_bit=eight_bit, optimizer=costs["optimizer"].where(~eight_bit, "adamw"))
    known = costs[~costs["method"].str.contains(":")]
    apart = [field for field in PLAIN if field != "eight_bit"]
    return [item for group in alike(known, *apart) for item in _items(group)]


def _items(group: Alike) -> Sequence[Table | Figure]:
    rows = group.rows
    steps, ladder, settings = [], [], dict[str, object]()
    for label, changes in STEPS:
        settings |= changes
        found = _with(rows[(rows["method"] == "full") & (rows["status"] == "ok")], settings)
        if found.empty:
            return []
        steps.append(found.iloc[:1])
        ladder.append(Bar.of(label, found.iloc[0].to_dict(), step=True))
    ladder[1:] = [replace(bar, saved=above.peak - bar.peak) for above, bar in pairwise(ladder)]
    plain = _with(rows, PLAIN).drop_duplicates("method")
    methods = [Bar.of(line["method"], line) for line in plain[plain["status"] == "ok"].to_dict("records")]
    bars = [*sorted(methods, key=lambda bar: (bar.peak, natural(bar.label))), *ladder]
    shown = Alike(pd.concat([plain, *steps]))
    caption = f"{shown.conditions} {LEGEND}"
    return _table(shown.name, caption, bars, _notes(plain)), _figure(shown.name, caption, bars)


def _with(rows: pd.DataFrame, settings: Mapping[str, object]) -> pd.DataFrame:
    """The rows that have these values."""
    for field, value in settings.items():
        rows = rows[rows[field] == value]
    return rows


def _notes(plain: pd.DataFrame) -> tuple[str, ...]:
    """Why a method has no bar."""
    left = plain[plain["status"] != "ok"].to_dict("records")
    return tuple(f"{line['method']}: {line['status']} ({line['reason']})" for line in left)


def _table(name: str, caption: str, bars: Sequence[Bar], notes: tuple[str, ...]) -> Table:
    metrics = {key: METRICS[f"planned_{key}_bytes"] for key in ("peak", *PARTS)}
    metrics = {key: replace(metric, unit="GiB", scale=GIBIBYTES, digits=2) for key, metric in metrics.items()}
    columns = [
        Column(f"planned_{key}_bytes", metric.label, metric.block, metric, detail=key != "peak")
        for key, metric in metrics.items()
    ]
    columns += [Column("saved_bytes", SAVED.heading, metric=SAVED)]
    rows = [
        (Cell(word=bar.label), Cell(bar.peak), *(Cell(bar.parts[part]) for part in PARTS), Cell(bar.saved))
        for bar in bars
    ]
    return Table(f"memory_ladder-{name}-table", caption, (Column("method", "method"), *columns), tuple(rows), notes)


def _figure(name: str, caption: str, bars: Sequence[Bar]) -> Figure:
    heights = [height + GAP * bar.step for height, bar in enumerate(bars)]
    with panel("planned peak memory of a training step (GiB)", "", AROUND + ROW * len(bars)) as (drawing, axes):
        axes.grid(visible=False, axis="y")
        last = bars[-1].peak * GIBIBYTES
        axes.axvline(last, color="0.35", linewidth=0.7, linestyle=":", zorder=0.9)
        for height, bar in zip(heights, bars, strict=True):
            _draw(axes, height, bar)
        axes.set_yticks(heights, [bar.label for bar in bars], fontsize=6.5)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(heights[-1] + 0.6, heights[0] - 0.6)  # the first bar is on top
        axes.set_xlim(0, 1.2 * max(bar.peak for bar in bars) * GIBIBYTES)  # room for the numbers
        used = [part for part in PARTS if any(bar.parts[part] for bar in bars)]
        handles = [Patch(color=PARTS[part], label=part) for part in used]
        drawing.legend(
            handles=handles,
            loc="outside upper center",
            ncols=len(PARTS),
            frameon=False,
            handlelength=1.0,
            handleheight=0.9,
            handletextpad=0.5,
            columnspacing=1.4,
        )
    return Figure(f"memory_ladder-{name}", caption, drawing)


def _draw(axes: Axes, height: float, bar: Bar) -> None:
    """The parts end to end, and the peak in numbers behind them."""
    left = 0.0
    for part, color in PARTS.items():
        width = bar.parts[part] * GIBIBYTES
        axes.barh(height, width, 0.74, left, color=_lighter(color) if bar.step else color, linewidth=0)
        left += width
    axes.annotate(
        bar.end,
        (bar.peak * GIBIBYTES, height),
        xytext=(2.5, -0.3),
        textcoords="offset points",
        va="center",
        fontsize=6,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
    )


def _lighter(color: str) -> tuple[float, float, float]:
    """Mixed with white, not transparent: the dotted line stays behind the bar."""
    red, green, blue = ((1 - WHITE) * channel + WHITE for channel in to_rgb(color))
    return red, green, blue
