"""What a Slurm job does: the runs of one chunk, by the same grid as anywhere else.

submitit pickles the call into its own folder for the job to read; only this class, by name, and one text are in it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from submitit.helpers import Checkpointable

import results
from bench.grid import look, run_grid
from bench.launch import crew_of, workers_of
from bench.request import Request, device_of, runs_of
from bench.screen import Screen
from bench.sent import execution_of

__all__ = ["Chunk", "Errand"]


@dataclass(frozen=True)
class Errand:
    """The grid that was asked for, which of its runs to do, where, how, and the command line that asked for it."""

    request: str
    records: list[str]
    root: str
    device: str  # as asked for: the machine that submits may have no GPU
    how: str
    force: bool
    command: list[str]

    def words(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


class Chunk(Checkpointable):
    """Called in the job. Preempted or out of time, it is queued again, and what it had finished is there then."""

    def __call__(self, words: str) -> None:
        """Do the runs; those that fail are in `results/logs`, as always."""
        errand = Errand(**json.loads(words))
        sys.argv = errand.command  # provenance names the call that a user made
        request, root = Request(**json.loads(errand.request)), Path(errand.root)
        runs = [run for run in runs_of(request) if str(results.path_of(Path(), run.identity())) in errand.records]
        how = execution_of(errand.how, device_of(errand.device))
        console = Console(width=160)
        workers = workers_of(how.device, None)
        with Screen(runs, console, workers) as screen:
            pending = look(runs, root, errand.force)
            outcome = run_grid(pending, root, how, screen, crew_of(request, root, how, None), errand.force)
        console.print(f"{outcome.done} runs done now, {outcome.there} were there, {len(outcome.failed)} failed")
