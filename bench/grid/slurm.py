"""The Slurm launcher: what is left goes out as one job array of chunks, and any later call says how far it is."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import submitit
from rich.console import Console

import results
from bench.errors import WrongCall
from bench.grid.grid import Outcome, Pending
from bench.grid.longest import longest_first
from bench.grid.request import Request
from bench.grid.sent import record_of, words_of, words_of_execution
from bench.grid.slurm_job import Chunk, Errand, print_of
from bench.grid.slurm_options import SlurmOptions
from bench.grid.slurm_queue import Queue, queued, remember
from bench.run import Run
from bench.runner.attempt import log_path
from bench.settings import Execution

__all__ = ["run_on_slurm"]

RESTARTS = 10  # of a job that runs out of time; what it had finished is not done again
CHECKOUT = Path(__file__).resolve().parent.parent.parent


def run_on_slurm(
    request: Request,
    pending: Pending,
    root: Path,
    device: str,
    how: Execution,
    options: SlurmOptions,
    force: bool,
    console: Console,
) -> Outcome:
    """Submit what is neither there nor on its way, say what is, and return at once."""
    queue = queued(root)
    left = [run for run in pending.left if record_of(run) not in queue.records]
    waiting = len(pending.left) - len(left)
    failed = sum(log_path(root, run).is_file() for run in left)
    if failed:
        console.print(f"{failed} of the runs failed before and are tried again; see {root / 'logs'}", soft_wrap=True)
    words: dict[str, Any] = {"root": str(root.resolve()), "device": options.device(device), "command": sys.argv}
    words |= {"request": words_of(request), "how": words_of_execution(how)}
    chunks = [[record_of(run) for run in chunk] for chunk in _chunks(left, options.chunk)]
    errands = [Errand(records=chunk, again=_there(root, chunk) if force else {}, **words) for chunk in chunks]
    jobs = _submit(root.resolve(), options, errands) if errands else []
    if jobs:
        remember(root, {job: errand.records for job, errand in zip(jobs, errands, strict=True)})
        console.print(f"{len(left)} runs submitted in {len(jobs)} jobs ({jobs[0].partition('_')[0]})", highlight=False)
    console.print(_status(len(pending.finished), waiting, queue), highlight=False, soft_wrap=True)
    paths = [results.path_of(root, run.identity()) for run, _ in pending.finished]
    return Outcome(0, len(pending.finished), list(pending.unreadable), paths)


def _there(root: Path, records: Sequence[str]) -> dict[str, str]:
    """The records that `--force` means: those that are there now."""
    prints = {record: print_of(root / record) for record in records}
    return {record: found for record, found in prints.items() if found is not None}


def _submit(root: Path, options: SlurmOptions, errands: Sequence[Errand]) -> list[str]:
    """The numbers of the jobs, which find this checkout wherever they run."""
    try:
        executor = submitit.SlurmExecutor(root / "slurm" / "%j", max_num_timeout=RESTARTS)
        setup = [f"export PYTHONPATH={shlex.quote(str(CHECKOUT))}", f"cd {shlex.quote(str(CHECKOUT))}"]
        executor.update_parameters(job_name="petl-bench", setup=setup, **options.parameters())
        jobs = executor.map_array(Chunk(), [errand.words() for errand in errands])
    except (RuntimeError, subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
        reason = " ".join(str(error).split())[-200:]
        raise WrongCall(f"Slurm takes no jobs here: {reason}; check --slurm, or use --launcher local") from error
    return [job.job_id for job in jobs]


def _chunks(left: Sequence[Run], size: int) -> list[list[Run]]:
    """Dealt like cards, from the longest run to the shortest, so that jobs take about equally long."""
    count = -(-len(left) // size)
    order = longest_first(left)
    return [order[start::count] for start in range(count)]


def _status(there: int, waiting: int, queue: Queue) -> str:
    states = ", ".join(f"{count} {state}" for state, count in sorted(queue.states.items()))
    jobs = f" (jobs: {states})" if states else ""
    return f"{there} runs are there, {waiting} were on their way before{jobs}; the same call again says how far it is"
