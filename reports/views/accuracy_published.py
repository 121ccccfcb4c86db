"""Published accuracy on VTAB-1k against memory planned under one protocol: a point a method that both are known of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import pandas as pd

from reports.figures.scatter import Panel, Point, draw
from reports.tables.costs import Alike, alike
from reports.tables.published import HOW, SELECTIONS
from reports.tables.table import GIBIBYTES, METRICS, Figure
from results import quoted

__all__ = ["NOTHING", "report"]

NOTHING = "no methods with published averages are planned on ViT-B/16; `report accuracy_published` plans them"
BACKBONE = "random:vit_base_patch16_224"  # that `report accuracy_published` plans; memory asks for no weights
MARKS = {"last": "", "best": " (best)", "epoch unknown": " (?)"}  # of the selections of a printed accuracy
PLAIN = {"checkpointing": False, "activations": "", "optimizer_in_backward": False, "optimizer": "adamw"}
LEGEND = (
    "Across: memory of a training step with default settings, planned here for all methods alike. Up: the mean of "
    "VTAB-1k's group means on ViT-B/16 pre-trained on ImageNet-21k as others published it, by recipes of their own; "
    "none was trained here. Of the averages at the last epoch that anyone published for a method the highest is taken, "
    "else the highest of the others, which are marked. (best): the best epoch on test; (?): the epoch is not said."
)


@dataclass(frozen=True)
class Average:
    """A published average in percent, and where it stands."""

    percent: float
    source: str
    selection: str  # a key of MARKS
    how: str


def report(costs: pd.DataFrame) -> list[Figure]:
    """One figure for each batch, precision and kernel under which methods were planned on ViT-B/16."""
    rows = costs[(costs["backbone"] == BACKBONE) & (costs["status"] == "ok")]
    for field, value in PLAIN.items():
        rows = rows[rows[field] == value]
    return list(filter(None, map(_figure, alike(rows))))


def _figure(group: Alike) -> Figure | None:
    known = averages()
    pairs = [(line, known[line["method"]]) for line in group.rows.to_dict("records") if line["method"] in known]
    if len(pairs) < 2:
        return None
    planned = METRICS["planned_peak_bytes"]
    points = [
        Point(line["method"] + MARKS[average.selection], line["planned_peak_bytes"] * GIBIBYTES, average.percent)
        for line, average in pairs
    ]
    sources = "; ".join(_sources([(line["method"], average) for line, average in pairs]))
    panel = Panel(points, f"{planned.quantity} of a training step, {planned.label} (GiB)")
    caption = f"{group.conditions} {LEGEND} Accuracies are from {sources}."
    return Figure(f"accuracy_published-{group.name}", caption, draw([panel], "published VTAB-1k accuracy (%)"))


def _sources(pairs: Sequence[tuple[str, Average]]) -> Iterator[str]:
    """Each source with the methods whose averages it has."""
    found: dict[str, list[str]] = {}
    for method, average in sorted(pairs, key=lambda pair: pair[1].source):
        found.setdefault(f"{average.source}{average.how}", []).append(method)
    yield from (f"{source} ({', '.join(methods)})" for source, methods in found.items())


@cache
def averages() -> dict[str, Average]:
    """For each method the average that is taken of those that are published.

    The last epoch comes before another, a printed number before one read off a figure or in another source, and then
    the highest.
    """
    rows = quoted("vtab").query(
        "quantity == 'average' and convention == 'mean_of_groups' and backbone == 'vit_b16' and pretraining == 'in21k' "
        "and setting == '' and method != ''"
    )
    order = rows.assign(
        other=rows["selection"] != "last", indirect=rows["how"].isin(HOW), lowness=-rows["value"].astype(float)
    ).sort_values(["other", "indirect", "lowness"], kind="stable")
    return {
        row["method"]: Average(
            float(row["value"]),
            row["source"],
            SELECTIONS[row["selection"]],
            f", {HOW[row['how']]}" if row["how"] in HOW else "",
        )
        for row in order.drop_duplicates("method").to_dict("records")
    }
