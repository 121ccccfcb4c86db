"""All methods ranked by accuracy at memory budgets: the best that fits each card comes first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from reports.tables.captions import conditions, failures
from reports.tables.comparison import Comparison
from reports.tables.ours import Filled, named
from reports.tables.summary import Summary, as_suites_show, memory, summaries, unrun
from reports.tables.table import METRICS, Cell, Column, Metric, Table

__all__ = ["NOTHING", "budgets", "ranks", "report"]

NOTHING = "ranks need a method with an average over all tasks of a suite, and its peak memory"

ACCURACY, RANK = METRICS["test_accuracy"], Metric("rank", "", 1, 0, "lower")
LEGEND = (
    "Ranked by the mean of the group means of test accuracy, last epoch, among the methods whose peak memory of "
    "training ({}, mean over the tasks that are there) is within the budget; equal accuracies as shown share a rank, "
    "an empty cell does not fit. A method that lacks a task has no average, and so no rank. A card needs some hundred "
    "MiB besides, for CUDA itself."
)


def report(runs: pd.DataFrame) -> list[Table]:
    """One table for each suite, backbone and recipe in which some method has an average and a peak."""
    shown = [each for each in as_suites_show(runs) if not unrun(each[0])]
    return [table for each in shown if (table := _table(*each)) is not None]


def budgets(peaks: Sequence[float]) -> list[int]:
    """8, 12, 16, 24, 32 and so on, as cards come, from the first that any peak fits to the first that all fit."""
    powers = range(max(1, math.floor(math.log2(min(peaks)))), max(1, math.ceil(math.log2(max(peaks)))) + 1)
    sizes = [size for power in powers for size in (2**power, 3 * 2 ** (power - 1))]
    return [size for size in sizes if size >= min(peaks)][: 1 + sum(min(peaks) <= size < max(peaks) for size in sizes)]


def ranks(scores: Sequence[float | None]) -> list[int | None]:
    """The place of each score among those that are there, from 1; equal ones share the better place."""
    known = [score for score in scores if score is not None]
    return [None if score is None else 1 + sum(other > score for other in known) for score in scores]


def _table(comparison: Comparison, notes: Sequence[str]) -> Table | None:
    lines = summaries(comparison)
    complete = [line for line in lines if line.headline.value is not None]
    cost = memory(complete)
    placed = [line for line in complete if line.costs[cost].value]
    if not placed:
        return None
    placed.sort(key=lambda line: -(line.headline.value or 0.0))
    others = [line for line in lines if line not in placed]
    unranked = [f"Not ranked: {'; '.join(f'{line.label} {_why(line)}' for line in others)}."] if others else []
    return Table.of_columns(
        f"leaderboard-{comparison.name}",
        f"{conditions(comparison)} {LEGEND.format(METRICS[cost].label)}",
        _columns(placed, others, cost),
        (*unranked, *notes, *failures(comparison.runs)),
    )


def _why(line: Summary) -> str:
    """What a line lacks for a rank."""
    missing = [task for task, cell in line.tasks.items() if cell.value is None]
    return f"lacks {', '.join(missing)}" if missing else "has no peak"


def _columns(placed: Sequence[Summary], others: Sequence[Summary], cost: str) -> list[Filled]:
    """The method, its accuracy and peak, and its rank at each budget; lines without a rank stand below the others."""
    lines, unranked = [*placed, *others], [Cell()] * len(others)
    peaks = [line.costs[cost].value or 0.0 for line in placed]
    accuracy = Metric("accuracy", "%", ACCURACY.scale, 2, "higher")
    return [
        named(lines),
        (Column("mean_of_groups", "mean of groups (%)", "", accuracy), [line.headline for line in lines]),
        (Column(cost, f"peak, {METRICS[cost].label} (MiB)", "", METRICS[cost]), [line.costs[cost] for line in lines]),
        *(
            (
                Column(f"rank_{limit}", _size(limit), "rank within", RANK, detail=_between(limit)),
                [*_ranked(placed, peaks, limit), *unranked],
            )
            for limit in budgets(peaks)
        ),
    ]


def _ranked(lines: Sequence[Summary], peaks: Sequence[float], limit: int) -> list[Cell]:
    shown = [round(ACCURACY.scale * (line.headline.value or 0.0), 2) for line in lines]
    fitting = [score if peak <= limit else None for score, peak in zip(shown, peaks, strict=True)]
    return [Cell(rank) for rank in ranks(fitting)]


def _between(limit: int) -> bool:
    """Whether a budget is no power of two."""
    return limit & (limit - 1) != 0


def _size(limit: int) -> str:
    """`64 MiB`, `2 GiB`; a fraction of a MiB is written in KiB."""
    units = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1))
    return next(f"{limit / size:g} {unit}" for unit, size in units if limit >= size)
