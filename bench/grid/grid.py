"""The grid: what is on disk is skipped, the rest is handed out to a crew, and nothing that finished is lost."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import results
from bench.grid.backlog import Backlog
from bench.grid.crew import Alone, Crew
from bench.grid.interrupts import Interrupts
from bench.grid.progress import Screen
from bench.run import Run
from bench.runner.attempt import Event, Finished, Lost, log_path
from bench.runner.perform import lacking
from bench.settings import Execution
from results import Record
from results.claims import Lookout

__all__ = ["Outcome", "Pending", "look", "run_grid"]

POLL_SECONDS = 1.0  # between looks at what other processes hold


@dataclass(frozen=True)
class Pending:
    """What a grid has on disk, what is left to do, and complaints about damaged records that were set aside."""

    finished: list[tuple[Run, Record]]
    left: list[Run]
    damaged: list[str]
    unreadable: dict[Path, str] = field(default_factory=dict)  # records that cannot be read, and why: left alone
    again: list[tuple[Run, str]] = field(default_factory=list)  # runs that are left although they have a record: why


@dataclass
class Outcome:
    """How many runs were done now, were there (or came from another process), and failed, with the logs of those."""

    done: int
    there: int
    failed: list[Path]
    records: list[Path]  # of all runs of the grid that have one
    stopped: bool = False  # by Ctrl-C, with runs left to do


def look(
    runs: Sequence[Run],
    root: Path,
    force: bool,
    keep: frozenset[str] = frozenset(),
    old: Literal["redo", "keep"] = "redo",
) -> Pending:
    """Sort the runs of a grid by what their record files say; one whose record lacks something, or is stale, is left.

    Nothing on disk changes.
    """
    pending = Pending([], [], [])
    for run in runs:
        path = results.path_of(root, run.identity())
        try:
            if force or not path.is_file():
                pending.left.append(run)
            elif reason := lacking(run, record := results.load(path), root, keep, old):
                pending.left.append(run)
                pending.again.append((run, reason))
            else:
                pending.finished.append((run, record))
        except results.Damaged as error:
            pending.damaged.append(str(error))
            pending.left.append(run)
        except OSError as error:
            pending.unreadable[path] = error.strerror or str(error)
    return pending


def run_grid(
    pending: Pending, root: Path, how: Execution, screen: Screen, crew: Crew | None = None, force: bool = False
) -> Outcome:
    """Do what is left, by `crew` or else in this process. A run that fails is logged, tried again next time, and stops
    nothing. After Ctrl-C, what is running is finished; KeyboardInterrupt says that something is left.
    """
    outcome = Outcome(0, len(pending.finished), list(pending.unreadable), [])
    for run, record in pending.finished:
        screen.there(run, record)
        outcome.records.append(results.path_of(root, run.identity()))
    backlog, said = Backlog(pending.left, root, Lookout()), ""
    with contextlib.closing(crew or Alone(root, how)) as crew, Interrupts(screen.say) as interrupts:
        while crew.busy() or (backlog and not interrupts.asked):
            if not interrupts.asked:
                _hand_out(backlog, crew, screen, force)
            if not crew.busy() and backlog and not said:  # nothing is left but what others hold
                said = f"waiting for {len(backlog)} runs that other processes are at; see results check"
                screen.say(said)
            for place, run, event in crew.wait(POLL_SECONDS, screen.epoch):
                screen.end(place)
                _enter(run, event, backlog, root, outcome, screen)
    if interrupts.asked and backlog:
        raise KeyboardInterrupt
    return outcome


def _hand_out(backlog: Backlog, crew: Crew, screen: Screen, force: bool) -> None:
    """Give every free place a run, as long as there are any."""
    while (place := crew.free()) is not None and (turn := backlog.next()) is not None:
        screen.begin(turn.run, place)
        crew.start(place, turn.run, turn.over, force and not turn.was_held)


def _enter(run: Run, event: Event, backlog: Backlog, root: Path, outcome: Outcome, screen: Screen) -> None:
    """Count what came of a run and show it."""
    if isinstance(event, Finished):
        _enter_finished(run, event, backlog, root, outcome, screen)
    elif isinstance(event, Lost) and backlog.again(run):
        screen.say(f"{run.task.name} {run.method} is tried once more: {event.sentence}")
    else:
        twice = " (twice)" if isinstance(event, Lost) else ""
        outcome.failed.append(log_path(root, run))
        screen.failed(run, event.sentence + twice, log_path(root, run))


def _enter_finished(run: Run, event: Finished, backlog: Backlog, root: Path, outcome: Outcome, screen: Screen) -> None:
    if event.what == "held":
        backlog.hold(run)
        return
    path = results.path_of(root, run.identity())
    try:
        record = results.load(path)
    except (results.Damaged, OSError) as error:  # what was written a moment ago
        outcome.failed.append(path)
        screen.failed(run, f"its record cannot be read back: {error}", path)
        return
    outcome.records.append(path)
    if event.what == "done":
        outcome.done += 1
        screen.done(run, record)
    else:
        outcome.there += 1
        screen.met(run, record)
