"""What the command line does when it is asked for a grid."""

from __future__ import annotations

import logging
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

from bench.errors import WrongCall
from bench.execution import Execution
from bench.grid import Outcome, Pending, look, run_grid
from bench.launch import Launch, crew_of, workers_of
from bench.longest import longest_first
from bench.preview import preview
from bench.request import Request, check_folder, device_of, grid_of
from bench.run import Run
from bench.screen import Screen
from bench.shard import shard_of
from methods.weights import WeightsError

__all__ = ["grid"]


def grid(
    request: Request,
    root: Path,
    device: str,
    dry_run: bool,
    force: bool,
    console: Console,
    launch: Launch | None = None,
) -> Outcome:
    """Do the grid that is asked for, or only say what it would do. Raises WrongCall before any work starts."""
    launch = launch or Launch()
    _log_to(console)
    place = device_of("auto" if launch.slurm else device)  # the machine that submits may have no GPU
    workers = workers_of(place, launch.workers)
    runs = shard_of(grid_of(request), launch.shard)
    pending = look(runs, root, force)
    _complain(pending, console)
    if pending.left and not (dry_run and runs[0].backbone.weights == "timm"):  # a dry run downloads nothing
        _check_weights(pending.left)
    if dry_run:
        preview(runs, pending, place, workers, root, console)
        return Outcome(0, len(pending.finished), [], [])
    check_folder(root)
    how = Execution(place, patience_seconds=60 * launch.patience_minutes)
    if launch.slurm is not None:
        from bench.slurm import run_on_slurm  # here, because submitit takes a while and most calls do without

        return run_on_slurm(request, pending, root, device, how, launch.slurm, force, console)
    if workers > 1:
        pending.left[:] = longest_first(pending.left)
    with Screen(runs, console, workers) as screen:
        outcome = run_grid(pending, root, how, screen, crew_of(request, root, how, launch.workers), force)
    console.print(f"{outcome.done} runs done now, {outcome.there} were there, {len(outcome.failed)} failed")
    return outcome


def _complain(pending: Pending, console: Console) -> None:
    """Name the records that are not as they should be."""
    for complaint in pending.damaged:
        console.print(f"damaged record, will be set aside and done again: {complaint}", markup=False, soft_wrap=True)
    for path, reason in pending.unreadable.items():
        console.print(f"record that cannot be read, left alone: {path}: {reason}", markup=False, soft_wrap=True)


def _check_weights(runs: list[Run]) -> None:
    """Load the backbone once, so that a missing or wrong file ends the call and not every run."""
    try:
        runs[0].backbone.load()
    except WeightsError as error:
        raise WrongCall(str(error)) from error
    logging.getLogger("methods.weights").setLevel(logging.WARNING)  # said once is enough


def _log_to(console: Console) -> None:
    handler = RichHandler(console=console, show_time=False, show_path=False, show_level=False)
    logging.getLogger("methods").addHandler(handler)
    logging.getLogger("methods").setLevel(logging.INFO)
