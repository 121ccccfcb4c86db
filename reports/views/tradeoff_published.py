"""Accuracy on VTAB-1k against parameters, memory as the area, ours beside the points of DTL's Figure 1."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from reports.figures.bubbles import Bubble, draw
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison
from reports.tables.published import PRETRAINING, published
from reports.tables.published_beside import counted
from reports.tables.summary import Summary, memory, of_suite, summaries
from reports.tables.table import GIBIBYTES, METRICS, MILLIONS, Figure
from reports.views.vtab import SIZES, SUITE
from results import quoted

__all__ = ["report"]

FIGURE = "DTL, Figure 1"
COUNTED = "without_head_mean_of_tasks"
LEGEND = (
    "Trainable parameters without the head. Filled: ours, last epoch, {} memory of a training step. Open: DTL's Figure "
    "1, read off the image (accuracy ±0.1, memory ±0.03 GB, parameters ±4 %), batch 32, 16-bit autocast; the two kinds "
    "of memory are not measured alike."
)
KINDS = {"peak_bytes": "measured", "planned_peak_bytes": "planned"}


def report(runs: pd.DataFrame) -> list[Figure]:
    """One figure for each recipe on a backbone that the published figure is about."""
    return [figure for comparison, _ in of_suite(runs, SUITE) if (figure := _figure(comparison)) is not None]


def _figure(comparison: Comparison) -> Figure | None:
    lines, printed = summaries(comparison), list(_printed(comparison))
    kind = memory(lines)
    shown = {line.label: _ours(line, kind) for line in lines}
    ours = [bubble for bubble in shown.values() if bubble is not None]
    if not ours or not printed:
        return None
    absent = ", ".join(label for label, bubble in shown.items() if bubble is None)
    note = f" Not shown, since an average, a cost or any parameter is missing: {absent}." if absent else ""
    caption = f"{conditions(comparison)} {LEGEND.format(KINDS[kind])}{note}"
    return Figure(f"tradeoff_published-{comparison.name}", caption, draw([*printed, *ours]))


def _ours(line: Summary, kind: str) -> Bubble | None:
    """None where the average is not over the whole suite, a cost is missing, or nothing but the head learns."""
    size, own = line.costs[kind].value, counted(line, COUNTED)
    whole = len(line.tasks) == sum(SIZES.values()) and line.headline.value is not None
    if not whole or not size or not own or line.headline.value is None:
        return None
    score = line.headline.value * METRICS["test_accuracy"].scale
    return Bubble(line.label, line.label, own * MILLIONS, score, size * GIBIBYTES, printed=False)


def _printed(comparison: Comparison) -> Iterator[Bubble]:
    """The points of the figure, also those of methods that are not ours."""
    if not published(SUITE, comparison) or comparison.backbone.partition(".")[2] not in PRETRAINING:
        return
    accuracies, memories = (
        lines[(lines["source"] + ", " + lines["table"]) == FIGURE] for lines in (quoted(SUITE), quoted("cost"))
    )
    sizes = dict(zip(memories["row"], memories["value"], strict=True))
    for row, lines in accuracies.groupby("row", sort=False):
        known = dict(zip(lines["quantity"], lines["value"], strict=True))
        method = str(lines["method"].iloc[0]) or str(row).lower()
        pair = float(known["parameters"]), float(known["average"])
        yield Bubble(str(row), method, *pair, float(sizes[str(row)]), printed=True)
