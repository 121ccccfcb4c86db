"""The two averages of a suite. Where a task is missing there is no average: a missing cell is never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

__all__ = ["group_means", "mean_of_group_means", "plain_mean"]

Scores = Mapping[str, float | None]  # by task
Groups = Mapping[str, Sequence[str]]  # the tasks of each group


def plain_mean(values: Iterable[float | None]) -> float | None:
    """The mean, or None when there is no value or one of them is missing."""
    listed = list(values)
    present = [value for value in listed if value is not None]
    return fmean(present) if present and len(present) == len(listed) else None


def group_means(scores: Scores, groups: Groups) -> dict[str, float | None]:
    """The plain mean of each group."""
    return {group: plain_mean(scores.get(task) for task in tasks) for group, tasks in groups.items()}


def mean_of_group_means(scores: Scores, groups: Groups) -> float | None:
    """The headline number: every group weighs the same, however many tasks it has."""
    return plain_mean(group_means(scores, groups).values())
