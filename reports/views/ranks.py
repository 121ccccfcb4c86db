"""Average ranks of methods over tasks, with Friedman's test and Nemenyi's critical difference, also within budgets."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scikit_posthocs
from matplotlib.figure import Figure as Drawing
from scipy import stats

from reports.figures.style import LABEL, WIDE, look, panels, shown
from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons
from reports.tables.summary import Summary, memory, summaries
from reports.tables.table import METRICS, Cell, Column, Figure, Metric, Table
from reports.views.leaderboard import budgets
from results import numbered

__all__ = ["NOTHING", "Ranking", "ranking", "report"]

LEAST_TASKS, LEAST_METHODS = 5, 3
SIGNIFICANCE = 0.05
NOTHING = (
    f"ranks need {LEAST_TASKS} tasks or more that {LEAST_METHODS} methods or more have finished: over fewer tasks "
    "hardly any difference of ranks could be told from chance"
)
RANK = Metric("average rank", "", 1.0, 2, "lower")
LEGEND = (
    "On each task the methods are ranked by test accuracy, last epoch, mean over seeds, 1 for the best, equal ones by "
    "the mean of their places; the average over tasks is shown. Friedman's test asks whether all could be alike; "
    "methods whose average ranks differ by less than the critical difference (Nemenyi, 5 %) cannot be told apart, and "
    "a bar joins them (Demsar, JMLR 2006)."
)


@dataclass(frozen=True)
class Ranking:
    """Average ranks of methods over tasks; `p_value` is of Friedman's test that all are alike."""

    ranks: pd.Series[float]  # by method, best first
    pairs: pd.DataFrame  # p-values of Nemenyi's test, method by method
    p_value: float
    critical_difference: float
    tasks: int


def ranking(scores: pd.DataFrame) -> Ranking:
    """Rank methods by their scores.

    Args:
        scores: a row a task, a column a method, no value missing.

    Returns:
        The ranks and tests of Demsar (JMLR 2006), section 3.2.2.
    """
    tasks, methods = scores.shape
    ranks = scores.rank(axis=1, ascending=False).mean().sort_values(kind="stable")
    _, p_value = stats.friedmanchisquare(*(scores[method] for method in scores))
    pairs = scikit_posthocs.posthoc_nemenyi_friedman(scores.to_numpy())
    pairs.index = pairs.columns = scores.columns
    studentized = stats.studentized_range.ppf(1 - SIGNIFICANCE, methods, np.inf) / math.sqrt(2)
    return Ranking(ranks, pairs, float(p_value), studentized * math.sqrt(methods * (methods + 1) / (6 * tasks)), tasks)


def report(runs: pd.DataFrame) -> list[Table | Figure]:
    """A diagram and a table for each suite, backbone and recipe with enough tasks and methods."""
    return [item for comparison in comparisons(runs) for item in _items(comparison)]


def _items(comparison: Comparison) -> list[Table | Figure]:
    lines = summaries(comparison)
    scores = _scores(lines)
    if min(scores.shape[0] - LEAST_TASKS, scores.shape[1] - LEAST_METHODS) < 0:
        return []
    whole = ranking(scores)
    left = [line.label for line in lines if line.label not in scores]
    absent = f" Not ranked, for want of a task: {', '.join(left)}." if left else ""
    said = f"{conditions(comparison)} {LEGEND} {_found(whole, lines)}{absent}"
    rankings = {"all methods": whole} | _within(scores, lines)
    return [
        Figure(f"ranks-{comparison.name}", said, _diagram(whole)),
        _table(f"ranks-{comparison.name}-table", said, rankings, lines),
    ]


def _scores(lines: Sequence[Summary]) -> pd.DataFrame:
    """A row a task, a column a method that has them all."""
    known = {line.label: {task: cell.value for task, cell in line.tasks.items()} for line in lines}
    return pd.DataFrame(known, dtype=float).dropna(axis=1)


def _found(ranking: Ranking, lines: Sequence[Summary]) -> str:
    seeds = {len(set(line.runs["seed"])) for line in lines}
    count = "-".join(str(number) for number in sorted({min(seeds), max(seeds)}))
    chance = "below 0.001" if ranking.p_value < 0.001 else f"{ranking.p_value:.3f}"
    methods, tasks = numbered(len(ranking.ranks), "method"), numbered(ranking.tasks, "task")
    return (
        f"{methods}, {tasks}, {count} seed{'' if count == '1' else 's'}: p {chance}, "
        f"critical difference {ranking.critical_difference:.2f}."
    )


def _within(scores: pd.DataFrame, lines: Sequence[Summary]) -> dict[str, Ranking]:
    """Rankings among the methods that fit each memory budget, where these are not all and not too few."""
    cost = memory([line for line in lines if line.label in scores])
    peaks = {line.label: line.costs[cost].value for line in lines if line.label in scores}
    if any(not peak for peak in peaks.values()):
        return {}
    found: dict[str, Ranking] = {}
    before = 0
    for limit in budgets([peak or 0.0 for peak in peaks.values()]):
        fitting = [method for method, peak in peaks.items() if (peak or 0.0) <= limit]
        if LEAST_METHODS <= len(fitting) < len(peaks) and len(fitting) != before:
            found[f"within {limit / 2**30:g} GiB" if limit >= 2**30 else f"within {limit / 2**20:g} MiB"] = ranking(
                scores[fitting]
            )
            before = len(fitting)
    return found


def _table(name: str, caption: str, rankings: dict[str, Ranking], lines: Sequence[Summary]) -> Table:
    first = next(iter(rankings.values()))
    cost = memory([line for line in lines if line.label in first.ranks])
    peaks = {line.label: line.costs[cost] for line in lines}
    columns = (
        Column("method", "method"),
        Column(cost, METRICS[cost].heading, "", METRICS[cost]),
        *(
            Column(f"rank {title}", title, "average rank", RANK, detail=place > 0)
            for place, title in enumerate(rankings)
        ),
        Column("alike", "not told apart from the best"),
    )
    best = str(first.ranks.index[0])
    rows = [
        (
            Cell(word=str(method)),
            peaks[str(method)],
            *(Cell(float(one.ranks[method]) if method in one.ranks else None) for one in rankings.values()),
            Cell(word="" if method == best else "yes" if first.pairs.loc[best, method] >= SIGNIFICANCE else "no"),
        )
        for method in first.ranks.index
    ]
    return Table(name, caption, columns, tuple(rows))


def _diagram(ranking: Ranking) -> Drawing:
    """The critical-difference diagram of scikit-posthocs in the colours of the methods."""
    labels = {method: shown(str(method)) for method in ranking.ranks.index}
    height = 0.9 + 0.2 * math.ceil(len(labels) / 2) + 0.1 * _bars(ranking)
    with panels(1, 1, WIDE, height, grid=False) as (drawing, rows):
        axes = rows[0][0]
        drawn = scikit_posthocs.critical_difference_diagram(
            ranking.ranks.rename(labels),
            ranking.pairs.rename(index=labels, columns=labels),
            ax=axes,
            label_fmt_left="{label} {rank:.1f} ",
            label_fmt_right=" {rank:.1f} {label}",
            color_palette={labels[method]: look(str(method)).line for method in labels},
            label_props={"size": LABEL},
            elbow_props={"linewidth": 0.8},
            crossbar_props={"color": "0.25", "linewidth": 2.0},
        )
        for (bar,) in drawn["crossbars"]:  # whose ends come from a set, in another order in every process
            bar.set_xdata(sorted(bar.get_xdata()))
        axes.set_xlabel("average rank, best on the left")
    return drawing


def _bars(ranking: Ranking) -> int:
    """About how many bars the diagram has, for its height."""
    ranks = list(ranking.ranks)
    pairs = itertools.combinations(range(len(ranks)), 2)
    return len({j for i, j in pairs if ranks[j] - ranks[i] < ranking.critical_difference})
