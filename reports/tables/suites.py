"""The comparisons of one suite, each line held to the seeds that all of its tasks have; what is left out is said."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from reports.tables.comparison import Comparison, comparisons

__all__ = ["as_suites_show", "of_suite", "unrun"]

TASKS = {"vtab": 19, "fgvc": 5, "domain": 5}  # of suites that are published as a whole and have a report of their name
SETS = 5  # of few_shot, for each number of shots

Held = tuple[Comparison, tuple[str, ...]]  # and a sentence for everything that was set apart


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
