"""Which copy of a suite's images and labels each run was on, where results hold runs on several.

The revision of a task says whether two runs saw the same data; nothing says which revisions of different tasks lie in
one copy. Those that one command met are taken for one, and join an earlier copy that has no other data for their tasks.
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

__all__ = ["copies"]

Copy = dict[str, str]  # from the name of a task to its revision


def copies(runs: pd.DataFrame) -> pd.Series:
    """The number of the copy of each run of one suite, from 1, in the order in which copies came into use.

    Runs whose data have no revision count to the first, and all do where no task has two revisions.
    """
    known: list[Copy] = []
    for met in _met(runs):
        fitting = [
            copy for copy in known if all(copy.get(task, revision) == revision for task, revision in met.items())
        ]
        if fitting:
            max(fitting, key=lambda copy: len(copy.items() & met.items())).update(met)
        else:
            known.append(met)
    pairs = zip(runs["task"], runs.get("data", [None] * len(runs)), strict=True)
    numbers = [
        next((number for number, copy in enumerate(known, 1) if copy.get(task) == revision), 1)
        for task, revision in pairs
    ]
    return pd.Series(numbers, index=runs.index)


def _met(runs: pd.DataFrame) -> Iterator[Copy]:
    """What each command met, the oldest first; a revision at a time where it met two of one task."""
    if "data" not in runs:
        return
    known = runs[runs["data"].notna()]
    dated = known.sort_values("where_date", kind="stable") if "where_date" in known else known
    for _, part in dated.groupby("where_command" if "where_command" in dated else "suite", sort=False):
        pairs = list(dict.fromkeys(zip(part["task"], part["data"], strict=True)))
        alone = len(dict(pairs)) < len(pairs)
        yield from [{task: revision} for task, revision in pairs] if alone else [dict(pairs)]
