"""What the runs of a grid mean, for the end of its call: a few sentences, and one table that fits a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from reports.tables.classes import class_means
from reports.tables.comparison import Comparison, comparisons
from reports.tables.ours import named
from reports.tables.summary import Summary, memory, on_common_tasks, summaries
from reports.tables.table import METRICS, Column, Table
from results import sized

__all__ = ["conclusions", "outline"]

MOST = 4  # steps of the ladder from little memory to the best method that a sentence names
FEW = 4  # tasks that have a column each; where there are more, groups have


def conclusions(runs: pd.DataFrame) -> list[str]:
    """Say of every suite, backbone and recipe which method is best, which is within less memory, and what full costs.

    What has no average over the tasks or no peak memory is left out; a comparison of fewer than two methods says
    nothing.
    """
    found = comparisons(runs)
    said = [(comparison, _sentences(on_common_tasks(comparison)[0])) for comparison in found]
    several = sum(bool(sentences) for _, sentences in said) > 1
    return [
        f"{comparison.name}: {sentence}" if several else sentence
        for comparison, sentences in said
        for sentence in sentences
    ]


def outline(runs: pd.DataFrame) -> list[Table]:
    """Give one table of each comparison, best method first: accuracy, parameters that learn, and peak memory."""
    return [_outline(comparison) for comparison in comparisons(runs)]


def _sentences(comparison: Comparison) -> list[str]:
    lines = [line for line in summaries(comparison) if line.headline.value is not None]
    peak = memory(lines) if lines else ""
    placed = sorted((line for line in lines if line.costs[peak].value), key=lambda line: line.costs[peak].value or 0.0)
    if len(placed) < 2:
        return []
    best = max(placed, key=_score)  # with the least memory among equal ones
    sentences = [
        f"Of {len(placed)} methods {best.label} is the most accurate, {_percent(best)}, with "
        f"{_bytes(best, peak)} of peak memory in training ({METRICS[peak].label})."
    ]
    if ladder := _ladder(placed, best):
        steps = ", ".join(f"{line.label} {_percent(line)} with {_bytes(line, peak)}" for line in ladder)
        sentences.append(f"With less memory the best are {steps}.")
    if full := next((line for line in placed if line.label == "full"), None):
        sentences += _beside(full, placed, peak)
    if comparison.runs["seed"].nunique() == 1:
        sentences.append("One seed: methods whose accuracies are close may change places with another.")
    return sentences


def _ladder(placed: Sequence[Summary], best: Summary) -> list[Summary]:
    """Return lines that no line with less memory reaches, below `best`, from the least memory; a few of them."""
    rising: list[Summary] = []
    for line in placed:
        if not rising or _score(line) > _score(rising[-1]):
            rising.append(line)
    below = rising[: rising.index(best)]
    if len(below) <= MOST:
        return below
    return [below[round(step * (len(below) - 1) / (MOST - 1))] for step in range(MOST)]


def _beside(full: Summary, placed: Sequence[Summary], peak: str) -> list[str]:
    """Say which method with less memory is as good as full fine-tuning, or else comes nearest to it."""
    cheaper = placed[: placed.index(full)]
    if not cheaper:
        return []
    as_good = [line for line in cheaper if _score(line) >= _score(full)]
    other = as_good[0] if as_good else max(cheaper, key=_score)
    share = (other.costs[peak].value or 0.0) / (full.costs[peak].value or 1.0)
    gap = METRICS["test_accuracy"].scale * abs(_score(other) - _score(full))
    beside = f"{gap:.1f} points {'more' if as_good else 'less'}" if f"{gap:.1f}" != "0.0" else "as much"
    return [
        f"Full fine-tuning reaches {_percent(full)} with {_bytes(full, peak)}: {other.label} reaches {beside} "
        f"with {share:.0%} of that memory."
    ]


def _outline(comparison: Comparison) -> Table:
    """The table of one comparison; a line without an average comes last, in the order of the tables."""
    lines = sorted(summaries(comparison), key=lambda line: -_score(line) if line.headline.value is not None else 1.0)
    tasks = list(lines[0].tasks)
    peak = memory(lines)
    accuracy = METRICS["test_accuracy"]
    parts = [(task, [line.tasks[task] for line in lines]) for task in tasks]
    if len(tasks) > FEW:
        parts = [(group, [line.groups[group] for line in lines]) for group in lines[0].groups]
    if len(parts) > 1:
        parts.insert(0, ("mean", [line.headline for line in lines]))
    columns = [named(lines)]
    columns += [(Column(name, name, "test accuracy (%)", accuracy), cells) for name, cells in parts]
    columns += class_means(comparison, lines)
    columns += [(Column.of(name), [line.costs[name] for line in lines]) for name in ("trainable_without_head", peak)]
    title = f"{comparison.suite}, backbone {comparison.network}, recipe {comparison.recipe}"
    return Table.of_columns(title, "", columns)


def _score(line: Summary) -> float:
    return line.headline.value or 0.0


def _percent(line: Summary) -> str:
    return f"{METRICS['test_accuracy'].scale * _score(line):.1f} %"


def _bytes(line: Summary, peak: str) -> str:
    return sized(line.costs[peak].value or 0.0)
