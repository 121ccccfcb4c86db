"""What the command line does when it is asked for a grid."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from rich.console import Console
from rich.logging import RichHandler

from bench.errors import WrongCall
from bench.expected import expected_seconds
from bench.grid import Outcome, Pending, look, run_grid
from bench.request import Request, check_folder, device_of, grid_of
from bench.run import Run
from bench.screen import Screen
from bench.speed_options import SpeedOptions
from methods.weights import WeightsError

__all__ = ["grid"]

AS_IT_COMES = SpeedOptions()


def grid(
    request: Request,
    root: Path,
    device: str,
    dry_run: bool,
    force: bool,
    console: Console,
    speed: SpeedOptions = AS_IT_COMES,
) -> Outcome:
    """Do the grid that is asked for, or only say what it would do. Raises WrongCall before any work starts."""
    _log_to(console)
    place = device_of(device)
    how = speed.execution(place, root)
    runs = grid_of(request)
    pending = look(runs, root, force)
    for complaint in pending.damaged:
        console.print(f"damaged record, will be set aside and done again: {complaint}", markup=False, soft_wrap=True)
    if pending.left and not (dry_run and runs[0].backbone.weights == "timm"):  # a dry run downloads nothing
        _check_weights(pending.left)
    if dry_run:
        _preview(runs, pending, place, console)
        return Outcome(0, len(pending.finished), [], [])
    check_folder(root)
    with Screen(runs, console) as screen:
        outcome = run_grid(pending, root, how, screen)
    console.print(f"{outcome.done} runs done now, {outcome.there} were there, {len(outcome.failed)} failed")
    return outcome


def _preview(runs: list[Run], pending: Pending, device: torch.device, console: Console) -> None:
    """Say what would run, how much of it is there, and how long the rest will take."""
    first = runs[0]
    methods = ", ".join(dict.fromkeys(str(run.method) for run in runs))
    tasks = ", ".join(dict.fromkeys(run.task.name for run in runs))
    seconds = expected_seconds(pending.left, [record for _, record in pending.finished], device)
    console.print(f"backbone {first.backbone.name}, recipe {first.recipe_name}, device {device.type}", soft_wrap=True)
    console.print(f"methods  {methods}\ntasks    {tasks}", soft_wrap=True)
    console.print(f"runs     {len(runs)}, of which {len(pending.finished)} are there and {len(pending.left)} are left")
    console.print(f"time     about {_duration(seconds)} for what is left, one run after another")


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


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
