"""What can be named on the command line: methods, tasks, suites, backbones, recipes, reports."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from rich.markup import escape
from rich.table import Table

import datasets
from methods import METHODS
from methods.backbone import BACKBONES
from methods.base import written
from methods.recipe import RECIPES, load

__all__ = ["KINDS", "catalogue"]


def catalogue(kind: str, reports: Iterable[tuple[str, str]]) -> Table:
    """The table of one kind of thing that the command line knows by name."""
    table = Table(title=kind, title_justify="left")
    table.add_column("name", no_wrap=True)
    for heading in KINDS[kind]:
        table.add_column(heading, overflow="fold")
    for row in reports if kind == "reports" else ROWS[kind]():
        table.add_row(*map(escape, row))
    return table


KINDS = {  # and the headings behind the name
    "methods": ("settings and defaults", "what it is"),
    "tasks": ("classes", "train/test images", "suite", "group"),
    "suites": ("size", "what it is"),
    "backbones": ("what it is",),
    "recipes": ("what it is",),
    "reports": ("what it is",),
}


def _task_rows() -> list[tuple[str, ...]]:
    return [
        (task.name, str(task.classes), f"{task.sizes['train']}/{task.sizes['test']}", suite.name, task.group)
        for suite in datasets.SUITES.values()
        for task in suite.tasks
    ]


def _settings(name: str) -> str:
    return " ".join(f"{f.name}={written(f.default)}" for f in dataclasses.fields(METHODS[name]))


def _summary(kind: type) -> str:
    """The first sentence of the class's docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


ROWS: dict[str, Callable[[], list[tuple[str, ...]]]] = {
    "methods": lambda: [(name, _settings(name), _summary(METHODS[name])) for name in METHODS],
    "tasks": _task_rows,
    "suites": lambda: [(suite.name, f"{len(suite.tasks)} tasks", suite.title) for suite in datasets.SUITES.values()],
    "backbones": lambda: [(row.name, row.note) for row in BACKBONES.values()],
    "recipes": lambda: [(name, str(load(name).get("about", ""))) for name in RECIPES],
}
