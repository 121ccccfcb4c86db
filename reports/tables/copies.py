"""Which copy of a suite's images and labels each run was on, where results hold runs on several.

The revision of a task says whether two runs saw the same data; nothing says which revisions of different tasks lie in
one copy. Those that one command met are taken for one, and join an earlier copy that has no other data for their tasks.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator, Mapping
from typing import TypeVar

import pandas as pd

__all__ = ["copies", "copy_names", "tails"]

Key = TypeVar("Key", bound=Hashable)

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


def copy_names(runs: pd.DataFrame, numbers: pd.Series) -> dict[int, str]:
    """A name for each copy of one suite: the folder that its commands call --data where no two share one.

    Else the revision of the first task of which the copies have different ones. A copy without others needs no name.
    """
    parts = {int(number): part for number, part in runs.groupby(numbers, sort=True)}
    if len(parts) == 1:
        return dict.fromkeys(parts, "")
    folders = {number: _folder(part) for number, part in parts.items()}
    if all(folders.values()) and len({*folders.values()}) == len(parts):
        return folders
    return {number: _revision(part, runs) for number, part in parts.items()}


def _folder(runs: pd.DataFrame) -> str:
    """What the commands of one copy call --data; nothing where they differ or do not say it."""
    commands = [str(command) for command in runs.get("where_command", ())]
    named = {(re.findall(r"--data[ =](\S+)", command) or [""])[-1] for command in commands}
    return named.pop() if len(named) == 1 else ""


def _revision(part: pd.DataFrame, runs: pd.DataFrame) -> str:
    known = runs[runs["data"].notna()]
    several = known.groupby("task")["data"].nunique()
    differing = part[part["task"].isin(several[several > 1].index)]["data"].dropna()
    return next((f"revision {revision}" for revision in differing), "revision unknown")


def tails(paths: Mapping[Key, str]) -> dict[Key, str]:
    """The last part of each path, with as many folders before it as tell it from the others that end alike."""
    split = {key: path.split("/") for key, path in paths.items()}
    named = {}
    for key, parts in split.items():
        others = [other for other in split.values() if other != parts]
        count = next((n for n in range(1, len(parts)) if all(parts[-n:] != other[-n:] for other in others)), len(parts))
        named[key] = "/".join(parts[-count:])
    return named
