"""Accuracy against the energy of training, beside accuracy against peak memory, with the Pareto frontiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons, values
from reports.tables.ours import named
from reports.tables.summary import Summary, memory, summaries
from reports.tables.table import METRICS, Cell, Column, Figure, Metric, Table
from reports.views.tradeoff import figure

__all__ = ["NOTHING", "report"]

NOTHING = "no record says what energy its training took; runs on an NVIDIA card do, with nvidia-ml-py installed"
LEGEND = (
    "Last epoch; costs are means over tasks. Energy is what the whole card used "
    "from the start to the end of each training epoch, other processes on the card included; evaluation, and the "
    "computing of features that are kept, are not in it, as they are not in the time."
)
WATTS = Metric("mean power of the card", "W", 1.0, 0)
SECONDS = replace(METRICS["train_seconds"], digits=2)


def report(runs: pd.DataFrame) -> list[Table | Figure]:
    """A figure and a table for each suite, backbone and recipe of which some record has joules."""
    known = [one for one in comparisons(runs) if values(one.runs, "train_joules")]
    return [item for comparison in known for item in _items(comparison)]


def _items(comparison: Comparison) -> Sequence[Table | Figure]:
    lines = summaries(comparison)
    drawn = figure(f"energy-{comparison.name}", comparison, lines, "train_joules", LEGEND)
    costs = [memory(lines), "train_joules"]
    columns = [
        named(lines),
        (Column("test_accuracy", "test accuracy (%)", "", METRICS["test_accuracy"]), [line.headline for line in lines]),
        *(
            (Column(cost, METRICS[cost].heading, "", METRICS[cost]), [line.costs[cost] for line in lines])
            for cost in costs
        ),
        (Column("train_seconds", SECONDS.heading, "", SECONDS), [_mean(line, "train_seconds") for line in lines]),
        (Column("watts", WATTS.heading, "", WATTS), [_watts(line) for line in lines]),
    ]
    table = Table.of_columns(f"energy-{comparison.name}-table", f"{conditions(comparison)} {LEGEND}", columns)
    return [*([drawn] if drawn is not None else []), table]


def _mean(line: Summary, name: str) -> Cell:
    """Of the runs that say what energy they took."""
    known = line.runs.loc[line.runs["train_joules"].notna(), name].dropna()
    return Cell(float(known.mean())) if len(known) else Cell()


def _watts(line: Summary) -> Cell:
    known = line.runs[line.runs["train_joules"].notna()]
    seconds = known["train_seconds"].sum() if len(known) else 0.0
    return Cell(float(known["train_joules"].sum() / seconds)) if seconds else Cell()
