"""The lines of a comparison: what a method reached on each task and on average over seeds, and what it cost.

A line of a published suite is held to the seeds that all of its tasks have; what is left out is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import fmean, median, stdev
from typing import Any

import pandas as pd

from reports.tables.comparison import Comparison, comparisons, present, tasks_by_group, values
from reports.tables.table import Cell, Estimate, Kept, in_order
from reports.tables.uncertainty import Average, average, marked, of_seeds, of_share

__all__ = [
    "COSTS", "Summary", "as_suites_show", "group_means", "mean_of_group_means", "mean_over_tasks", "memory", "of_suite",
    "on_common_tasks",
    "plain_mean", "summaries", "unrun",
]  # fmt: skip

Scores = Mapping[str, float | None]  # by task
Groups = Mapping[str, Sequence[str]]  # the tasks of each group
COSTS = (
    "trainable",
    "trainable_without_head",
    "planned_peak_bytes",
    "peak_bytes",
    "feature_cache_bytes",
    "epoch_seconds",
    "train_joules",
)
MEASURED = ("peak_bytes", "epoch_seconds", "train_joules")  # on a device, so that those of two devices share no mean
Cells = Mapping[str, Cell]  # by task


@dataclass(frozen=True)
class Outcome:
    """Holds what a run came to."""

    status: str
    score: float | None
    images: int | None = None  # of the test split
    kept: Kept | None = None  # its predictions


Outcomes = dict[str, list[Outcome]]  # by task
TASKS = {"vtab": 19, "fgvc": 5, "domain": 5}  # of suites that are published as a whole and have a report of their name
SETS = 5  # of few_shot, for each number of shots
Held = tuple[Comparison, tuple[str, ...]]  # and a sentence for everything that was set apart


def plain_mean(values: Iterable[float | None]) -> float | None:
    """Return the mean, or None when there is no value or one of them is missing."""
    listed = list(values)
    present = [value for value in listed if value is not None]
    return fmean(present) if present and len(present) == len(listed) else None


def group_means(scores: Scores, groups: Groups) -> dict[str, float | None]:
    """Return the plain mean of each group."""
    return {group: plain_mean(scores.get(task) for task in tasks) for group, tasks in groups.items()}


def mean_of_group_means(scores: Scores, groups: Groups) -> float | None:
    """Return the headline number, in which every group weighs the same, however many tasks it has."""
    return plain_mean(group_means(scores, groups).values())


def mean_over_tasks(runs: pd.DataFrame, key: str) -> float | None:
    """Average a score over the seeds of each task, then over the tasks; None where a run lacks it."""
    if key not in runs:
        return None
    tasks = runs[key].groupby(runs["task"], sort=False)
    return plain_mean(plain_mean(float(v) if present(v) else None for v in scores) for _, scores in tasks)


@dataclass(frozen=True)
class Summary:
    """One line. Scores are test accuracies of the last epoch, costs are means over the tasks that are there."""

    label: str
    runs: pd.DataFrame
    tasks: dict[str, Cell]
    groups: dict[str, Cell]
    headline: Cell  # mean of the group means
    plain: Cell  # mean over the tasks
    costs: dict[str, Cell]


def summaries(comparison: Comparison) -> list[Summary]:
    """Sum up each line, and mark accuracies that cannot be told apart from the best of the lines.

    Averages need every task that any of the lines has. They are computed once for a comparison.
    """
    if "summaries" not in comparison.computed:
        comparison.computed["summaries"] = _summaries(comparison)
    return list(comparison.computed["summaries"])


def _summaries(comparison: Comparison) -> list[Summary]:
    groups = tasks_by_group(comparison.runs)
    lines = dict(iter(comparison.runs.groupby("line", sort=False)))
    found = [_summary(label, lines[label], groups) for label in in_order(map(str, lines))]
    tasks, groups_ = _marked([line.tasks for line in found]), _marked([line.groups for line in found])
    both = _marked([{"headline": line.headline, "plain": line.plain} for line in found])
    return [
        replace(line, tasks=by_task, groups=by_group, headline=means["headline"], plain=means["plain"])
        for line, by_task, by_group, means in zip(found, tasks, groups_, both, strict=True)
    ]


def _marked(lines: Sequence[Cells]) -> list[dict[str, Cell]]:
    """The cells of lines, those marked that are the best of their column or cannot be told apart from it."""
    names = list(lines[0]) if lines else []
    columns = {name: marked([cells[name] for cells in lines]) for name in names}
    return [
        {name: replace(cells[name], alike=columns[name][place]) for name in names} for place, cells in enumerate(lines)
    ]


def on_common_tasks(comparison: Comparison) -> tuple[Comparison, str]:
    """Return the comparison on the tasks that its lines have in common, and a sentence where those are not all.

    Lines that finished fewer than half of the tasks are not waited for: they have no average.
    """
    runs = comparison.runs
    tasks = set(runs["task"])
    ok = runs.assign(ok=runs["status"] == "ok").groupby(["line", "task"], sort=False)["ok"].all()
    finished = [set(part[part].index.get_level_values("task")) for _, part in ok.groupby("line", sort=False)]
    common = tasks.intersection(*(found for found in finished if 2 * len(found) >= len(tasks)))
    if not common or common == tasks:
        return comparison, ""
    left = ", ".join(task for task in dict.fromkeys(runs["task"]) if task not in common)
    said = f" On the {len(common)} of {len(tasks)} tasks that all methods shown have, without {left}."
    return replace(comparison, runs=runs[runs["task"].isin(common)]), said


def memory(lines: Sequence[Summary]) -> str:
    """Choose the measured peak where all methods were measured on one device, else the planned: never both."""
    devices = {device for line in lines for device in values(line.runs, "where_device")}
    measured = len(devices) == 1 and all(line.costs["peak_bytes"].value is not None for line in lines)
    return "peak_bytes" if measured else "planned_peak_bytes"


def of_suite(runs: pd.DataFrame, suite: str) -> list[Held]:
    """One for each copy, backbone, weights and recipe; a suite with options, `suite:option`, is one of its own."""
    if runs.empty:
        return []
    own = runs[runs["suite"].str.partition(":")[0] == suite]
    return [_held(comparison) for comparison in comparisons(own)]


def as_suites_show(runs: pd.DataFrame) -> list[Held]:
    """All comparisons with the runs that the tables of their suites show, so that every report has the same means."""
    return [
        _held(comparison) if comparison.suite.partition(":")[0] in (*TASKS, "few_shot") else (comparison, ())
        for comparison in comparisons(runs)
    ]


def unrun(comparison: Comparison) -> int:
    """How many tasks of the suite no line has, as far as its size is known here; the suite has no average then."""
    name, there = comparison.suite.partition(":")[0], comparison.runs["task"].nunique()
    size = SETS * comparison.runs["group"].nunique() if name == "few_shot" else TASKS.get(name, there)
    return max(0, size - there)


def _held(comparison: Comparison) -> Held:
    parts, notes = [], list[str]()
    for line, runs in comparison.runs.groupby("line", sort=False):
        part, note = _alike(str(line), runs)
        parts.append(part)
        notes += [note] if note else []
    return replace(comparison, runs=pd.concat(parts)), tuple(notes)


def _alike(line: str, runs: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The runs of a line with the seeds that all its tasks have; where there is none, a line a seed."""
    by_task = runs.groupby("task", sort=False)["seed"].agg(set)
    everywhere, anywhere = set.intersection(*by_task), set.union(*by_task)
    if everywhere == anywhere:
        return runs, ""
    if not everywhere:
        apart = runs.assign(line=[f"{line} (seed {seed})" for seed in runs["seed"]])
        return apart, f"{line}: no seed is there for all its tasks; each has a line of its own."
    left = ", ".join(map(str, sorted(anywhere - everywhere)))
    return runs[runs["seed"].isin(everywhere)], f"{line}: left out, not there for all its tasks: seed {left}."


def _summary(label: str, runs: pd.DataFrame, groups: Groups) -> Summary:
    tasks = [task for names in groups.values() for task in names]
    found, by_seed = _outcomes(runs)
    cells = {task: _score(found.get(task, ())) for task in tasks}
    seeds = [{task: _score(outcomes.get(task, ())) for task in tasks} for outcomes in by_seed]
    averaged = partial(_averaged, cells, seeds)
    return Summary(
        label,
        runs,
        cells,
        groups={group: averaged(partial(_mean_over, names)) for group, names in groups.items()},
        headline=averaged(partial(mean_of_group_means, groups=groups)),
        plain=averaged(partial(_mean_over, tasks)),
        costs={name: _cost(runs, name) for name in COSTS},
    )


def _outcomes(runs: pd.DataFrame) -> tuple[Outcomes, list[Outcomes]]:
    """Status and score of each run by its task: of all seeds together, and of each seed."""
    names = "task", "seed", "status", "test_accuracy", "test_images", "kept_predictions", "predictions_checksum"
    columns = [runs[name] if name in runs else [None] * len(runs) for name in names]
    together: Outcomes = {}
    apart: dict[int, Outcomes] = {}
    for task, seed, status, score, images, kept, checksum in zip(*columns, strict=True):
        outcome = Outcome(
            str(status),
            _float(score),
            int(images) if present(images) else None,
            (kept, checksum) if present(kept) else None,
        )
        together.setdefault(task, []).append(outcome)
        apart.setdefault(seed, {}).setdefault(task, []).append(outcome)
    return together, list(apart.values())


def _averaged(cells: Cells, seeds: Sequence[Cells], mean: Average) -> Cell:
    """The average of the cells, with the deviation of the averages of the single seeds."""
    value, *single = (mean({task: cell.value for task, cell in scores.items()}) for scores in (cells, *seeds))
    if value is None:
        return Cell()
    whole = [score for score in single if score is not None]
    estimate = (of_seeds(whole) if len(whole) == len(single) else None) or average(cells, mean)
    return Cell(value, _spread(single), estimate=estimate)


def _mean_over(tasks: Sequence[str], scores: Mapping[str, float | None]) -> float | None:
    return plain_mean(scores[task] for task in tasks)


def _score(outcomes: Sequence[Outcome]) -> Cell:
    """Mean and deviation over the seeds. One run that failed leaves no mean: the others would be a selection."""
    failed = [outcome.status for outcome in outcomes if outcome.status != "ok"]
    if failed:
        return Cell(word=failed[0])
    scores = [outcome.score for outcome in outcomes]
    return Cell(plain_mean(scores), _spread(scores), estimate=_estimate(outcomes))


def _estimate(outcomes: Sequence[Outcome]) -> Estimate | None:
    """Of the scores of several seeds or, of a single one, of its share of the test images where their number is known.

    What was printed is no such share where it lies outside of 0 and 1.
    """
    scores = [outcome.score for outcome in outcomes if outcome.score is not None]
    if len(scores) < len(outcomes) or not scores:
        return None
    if len(scores) > 1:
        return of_seeds(scores)
    (only,) = outcomes
    return of_share(scores[0], only.images, only.kept) if only.images and 0 <= scores[0] <= 1 else None


def _spread(scores: Sequence[float | None]) -> float | None:
    """The sample standard deviation; None for a single value or where one is missing."""
    present_scores = [score for score in scores if score is not None]
    return stdev(present_scores) if len(present_scores) == len(scores) > 1 else None


def _cost(runs: pd.DataFrame, name: str) -> Cell:
    """The mean over the tasks that are there of the means over seeds."""
    if name not in runs:
        return Cell()
    measured, numbers = name in MEASURED, [_float(value) for value in runs[name]]
    if measured and len(values(runs, "where_device")) > 1:
        devices = zip(runs["where_device"], numbers, strict=True)
        if len({device for device, number in devices if number is not None and present(device)}) > 1:
            return Cell(word="mixed")
    by_task: dict[str, list[float]] = {}
    for task, number in zip(runs["task"], numbers, strict=True):
        if number is not None:
            by_task.setdefault(task, []).append(number)
    value = plain_mean(plain_mean(known) for known in by_task.values())
    return Cell(value, estimate=_over_seeds(runs, numbers) if measured and value is not None else None)


def _over_seeds(runs: pd.DataFrame, numbers: Sequence[float | None]) -> Estimate | None:
    """Of a measured cost; None where the seeds do not have the same tasks."""
    seeds: dict[Any, dict[str, float | None]] = {}
    for seed, task, number in zip(runs["seed"], runs["task"], numbers, strict=True):
        seeds.setdefault(seed, {})[task] = number
    if len({frozenset(known) for known in seeds.values()}) != 1:
        return None
    means = [plain_mean(known.values()) for known in seeds.values()]
    whole = [mean for mean in means if mean is not None]
    return of_seeds(whole) if len(whole) == len(means) else None


def _float(value: Any) -> float | None:
    """One number a run: of a list of epoch times the median without the first, which warms up."""
    if isinstance(value, list):
        return median(value[1:]) if len(value) > 1 else None
    return float(value) if present(value) else None
