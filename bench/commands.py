"""What the commands of the command line do, apart from reading their options."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

import datasets
from bench.errors import WrongCall
from bench.expected import expected_seconds
from bench.grid import Outcome, Pending, look, run_grid
from bench.request import Request, check_folder, device_of, grid_of
from bench.run import Run
from bench.screen import Screen
from methods import METHODS
from methods.backbone import BACKBONES
from methods.recipe import RECIPES, load
from methods.weights import WeightsError

__all__ = ["KINDS", "catalogue", "grid"]


def grid(request: Request, root: Path, device: str, dry_run: bool, force: bool, console: Console) -> Outcome:
    """Do the grid that is asked for, or only say what it would do. Raises WrongCall before any work starts."""
    _log_to(console)
    place = device_of(device)
    runs = grid_of(request)
    pending = look(runs, root, force)
    for complaint in pending.damaged:
        console.print(f"damaged record, will be set aside and done again: {complaint}", markup=False, soft_wrap=True)
    if dry_run:
        _preview(runs, pending, place, console)
        return Outcome(0, len(pending.finished), [], [])
    check_folder(root)
    if pending.left:
        _check_weights(pending.left)
    with Screen(runs, console) as screen:
        outcome = run_grid(pending, root, place, screen)
    console.print(f"{outcome.done} runs done now, {outcome.there} were there, {len(outcome.failed)} failed")
    return outcome


def catalogue(kind: str, reports: Iterable[tuple[str, str]]) -> Table:
    """The table of one kind of thing that the command line knows by name."""
    rows = {
        "methods": lambda: [(name, _settings(name), _summary(METHODS[name])) for name in METHODS],
        "suites": lambda: [(s.name, f"{len(s.tasks)} tasks", s.title) for s in datasets.SUITES.values()],
        "tasks": _task_rows,
        "backbones": lambda: [(row.name, row.architecture, row.note) for row in BACKBONES.values()],
        "recipes": lambda: [(name, "", str(load(name).get("about", ""))) for name in RECIPES],
        "reports": lambda: [(name, "", about) for name, about in reports],
    }[kind]()
    table = Table("name", "" if kind in ("recipes", "reports") else KINDS[kind], "what it is", title=kind)
    for row in rows:
        table.add_row(*row)
    return table


KINDS = {  # and the heading of the middle column
    "methods": "settings",
    "tasks": "classes, images",
    "suites": "size",
    "backbones": "architecture",
    "recipes": "",
    "reports": "",
}


def _task_rows() -> list[tuple[str, str, str]]:
    return [
        (task.name, f"{task.classes}, {'/'.join(map(str, task.sizes.values()))}", f"{suite.name}, {task.group}")
        for suite in datasets.SUITES.values()
        for task in suite.tasks
    ]


def _settings(name: str) -> str:
    return " ".join(f"{f.name}={f.default}" for f in dataclasses.fields(METHODS[name]))


def _summary(kind: type) -> str:
    """The first sentence of the class's docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


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
