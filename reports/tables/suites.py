"""The comparisons of one suite, each line held to the seeds that all of its tasks have; what is left out is said."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from reports.tables.comparison import Comparison, comparisons

__all__ = ["of_suite"]

Held = tuple[Comparison, tuple[str, ...]]  # and a sentence for everything that was set apart


def of_suite(runs: pd.DataFrame, suite: str) -> list[Held]:
    """One for each copy, backbone, weights and recipe; a suite with options, `suite:option`, is one of its own."""
    if runs.empty:
        return []
    own = runs[runs["suite"].str.partition(":")[0] == suite]
    return [_held(comparison) for comparison in comparisons(own)]


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
