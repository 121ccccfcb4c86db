"""The grid: what is on disk is skipped, the rest is run one after another, and nothing that finished is lost."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import results
from bench.execute import execute
from bench.execution import Execution
from bench.keep import lacks
from bench.run import Run
from bench.screen import Screen
from results import Record

__all__ = ["Outcome", "Pending", "look", "run_grid"]


@dataclass(frozen=True)
class Pending:
    """What a grid has on disk, what is left to do, and complaints about damaged records that were set aside."""

    finished: list[tuple[Run, Record]]
    left: list[Run]
    damaged: list[str]


@dataclass
class Outcome:
    """How many runs were done now, were there before, and failed; where the logs of the failed ones are."""

    done: int
    there: int
    failed: list[Path]
    records: list[Path]  # of all runs of the grid that have one


def look(runs: Sequence[Run], root: Path, force: bool, keep: frozenset[str] = frozenset()) -> Pending:
    """Sort the runs of a grid by what their record files say; one that lacks what is to be kept is left to do.

    Nothing on disk changes.
    """
    pending = Pending([], [], [])
    for run in runs:
        path = results.path_of(root, run.identity())
        try:
            if force or not path.is_file() or lacks(root, record := results.load(path), keep):
                pending.left.append(run)
            else:
                pending.finished.append((run, record))
        except results.Damaged as error:
            pending.damaged.append(str(error))
            pending.left.append(run)
    return pending


def run_grid(pending: Pending, root: Path, how: Execution, screen: Screen) -> Outcome:
    """Do what is left. A run that fails is logged with its traceback, tried again next time, and stops nothing."""
    outcome = Outcome(0, len(pending.finished), [], [])
    for run, record in pending.finished:
        screen.there(run, record)
        outcome.records.append(results.path_of(root, run.identity()))
    for run in pending.left:
        screen.begin(run)
        path = results.path_of(root, run.identity())
        try:
            record = execute(run, how, screen.epoch)
            _make_room(path)
            outcome.records.append(results.save(root, record))
        except Exception as error:  # the launcher alone catches everything: one bad run must not end the grid
            log = _log(root, path)
            outcome.failed.append(log)
            screen.failed(run, error, log)
        else:
            outcome.done += 1
            screen.done(run, record)
    return outcome


def _make_room(path: Path) -> None:
    """Set a damaged record aside, so that it can still be looked at when the new one takes its place."""
    if path.is_file():
        try:
            results.load(path)
        except results.Damaged:
            results.set_aside(path)


def _log(root: Path, record: Path) -> Path:
    """Write the traceback of the current exception; the log of a run has the name of its record."""
    path = root / "logs" / record.relative_to(root / "runs").with_suffix(".log")
    with contextlib.suppress(OSError):  # a full disk must not end the grid
        results.write_whole(path, traceback.format_exc().encode())
    return path
