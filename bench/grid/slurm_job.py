"""What a Slurm job does: the runs of one chunk, by the same grid as anywhere else.

submitit pickles the call into its own folder for the job to read; only this class, by name, and one text are in it.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from submitit.helpers import Checkpointable

import results
from bench.errors import WrongCall
from bench.grid.grid import Outcome, Pending, look, run_grid
from bench.grid.launch import crew_of, workers_of
from bench.grid.progress import Screen
from bench.grid.request import device_of
from bench.grid.sent import Sent, execution_of, record_of, request_of
from bench.run import Run
from bench.settings import Execution
from bench.surroundings import settle

__all__ = ["Chunk", "Errand", "print_of"]


@dataclass(frozen=True)
class Errand:
    """The grid that was asked for, which of its runs to do, where, how, and the command line that asked for it."""

    request: str
    records: list[str]
    root: str
    device: str  # as asked for: the machine that submits may have no GPU
    how: str
    again: dict[str, str]  # records that are there and are made again all the same, each with its print
    command: list[str]

    def words(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    def runs(self, console: Console) -> list[Run]:
        """Its runs; one that the same words do not mean here any more is said, and has a log."""
        found = []
        for record in self.records:
            try:
                found.append(Sent(self.request, record).run())
            except (ValueError, WrongCall) as error:
                console.print(str(error), markup=False, soft_wrap=True)
                self._log(record, str(error))
        return found

    def leave_logs(self, error: Exception) -> None:
        """Say in the log of every run without a record why the job ended."""
        for record in self.records:
            if not Path(self.root, record).is_file():
                self._log(record, f"the job could not do it: {type(error).__name__}: {error}")

    def _log(self, record: str, sentence: str) -> None:
        log = Path(self.root, "logs", *Path(record).parts[1:]).with_suffix(".log")  # as `log_path` has it
        results.write_whole(log, f"{results.readable(sentence)}\n".encode())


class Chunk(Checkpointable):
    """Called in the job. Preempted or out of time, it is queued again, and what it had finished is there then."""

    def __call__(self, words: str) -> None:
        """Do the runs; those that fail are in `results/logs`, as always."""
        errand, console = Errand(**json.loads(words)), Console(width=160)
        sys.argv = errand.command  # provenance names the call that a user made
        settle(Path(errand.root))
        try:
            runs = errand.runs(console)
            outcome = _done(errand, runs, console)
        except Exception as error:  # nobody sees what a job prints, so that each of its runs has a log
            errand.leave_logs(error)
            raise
        failed = len(outcome.failed) + len(errand.records) - len(runs)
        console.print(f"{outcome.done} runs done now, {outcome.there} were there, {failed} failed")


def print_of(path: Path) -> str | None:
    """What tells this record file from one that takes its place; None where there is none. Clocks have no say."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def _done(errand: Errand, runs: Sequence[Run], console: Console) -> Outcome:
    root, how = Path(errand.root), execution_of(errand.how, device_of(errand.device))
    pending = _pending(errand, runs, how)
    crew = crew_of(request_of(errand.request), root, how, None)
    with Screen(runs, console, workers_of(how.device, None)) as screen:
        return run_grid(pending, root, how, screen, crew, bool(errand.again))


def _pending(errand: Errand, runs: Sequence[Run], how: Execution) -> Pending:
    """`--force` means the records of before: what this errand had made when it was queued again is there."""
    root = Path(errand.root)
    forced: list[Run] = []
    others: list[Run] = []
    for run in runs:
        old = errand.again.get(record_of(run))
        (forced if old is not None and old == print_of(root / record_of(run)) else others).append(run)
    pending = look(others, root, False, how.keep.kinds, how.stale)
    return dataclasses.replace(pending, left=[*forced, *pending.left])
