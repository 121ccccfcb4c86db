"""What can be named on the command line: methods, tasks, suites, backbones, recipes, preprocessings, reports."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

from rich.markup import escape
from rich.table import Table

import datasets
from bench.errors import WrongCall
from datasets.transforms.preprocessing import PRESETS, Preprocessing
from methods import METHODS
from methods.backbones.registry import BACKBONES
from methods.base import written
from methods.recipe import RECIPES, load
from methods.spec import guess

__all__ = ["KINDS", "catalogue", "document"]

Rows = Sequence[tuple[str, ...]]  # the name first


def catalogue(name: str | None, reports: Mapping[str, str]) -> list[Table]:
    """The table of a kind, the rows of one name, or all tables. Raises WrongCall where nothing is named so."""
    rows = {kind: list(reports.items()) if kind == "reports" else ROWS[kind]() for kind in KINDS}
    if name is None or name in KINDS:
        return [_table(kind, rows[kind]) for kind in KINDS if name in (None, kind)]
    named = {kind: [row for row in known if row[0] == name] for kind, known in rows.items()}
    if not any(named.values()):
        known = [*KINDS, *(row[0] for every in rows.values() for row in every)]
        raise WrongCall(f"nothing is named {name!r}; {guess(name, known)}see: python bench.py list")
    return [_table(kind, found) for kind, found in named.items() if found]


def document(name: str | None, reports: Mapping[str, str]) -> str:
    """The same as one JSON document: for each kind a list of objects, by name and heading. Raises WrongCall."""
    known = {kind: list(reports.items()) if kind == "reports" else ROWS[kind]() for kind in KINDS}
    tables = {table.title: None for table in catalogue(name, reports)}
    rows = {
        kind: [
            dict(zip(("name", *KINDS[kind]), row, strict=True)) for row in known[kind] if name in (None, kind, row[0])
        ]
        for kind in KINDS
        if kind in tables
    }
    return json.dumps(rows, indent=1)


def _table(kind: str, rows: Rows) -> Table:
    table = Table(title=kind, title_justify="left")
    table.add_column("name", no_wrap=True)
    for heading in KINDS[kind]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


KINDS = {  # and the headings behind the name
    "methods": ("settings and defaults", "what it is"),
    "tasks": ("classes", "train/test images", "suite", "group"),
    "suites": ("size", "what it is"),
    "backbones": ("what it is",),
    "recipes": ("what it is",),
    "preprocessings": ("what is done to images",),
    "reports": ("what it is",),
}


def _task_rows() -> list[tuple[str, ...]]:
    return [
        (task.name, str(task.classes), f"{task.sizes['train']}/{task.sizes['test']}", suite.name, task.group)
        for suite in datasets.SUITES.values()
        for task in suite.tasks
    ]


def _done(preset: Preprocessing) -> str:
    """Decoding, resizing, interpolation, statistics; and what is done to training images instead."""
    decode = {"any": "as in the file", "png": "lossless only", "jpeg75": "passed through JPEG"}[preset.decode]
    mean, std = (values and ", ".join(f"{v:g}" for v in dict.fromkeys(values)) for values in (preset.mean, preset.std))
    statistics = f"mean {mean}, std {std}" if mean else "mean and std of the checkpoint"
    training = f"; training images by {preset.augmentation.words}" if preset.augmentation else ""
    return f"{decode}; {preset.resize}, {preset.interpolation}; {statistics}{training}".replace("_", " ")


def _settings(name: str) -> str:
    return " ".join(f"{f.name}={written(f.default)}" for f in dataclasses.fields(METHODS[name]))


def _summary(kind: type) -> str:
    """The first sentence of the class's docstring."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


ROWS: dict[str, Callable[[], Rows]] = {
    "methods": lambda: [(name, _settings(name), _summary(METHODS[name])) for name in METHODS],
    "tasks": _task_rows,
    "suites": lambda: [(suite.name, f"{len(suite.tasks)} tasks", suite.title) for suite in datasets.SUITES.values()],
    "backbones": lambda: [(row.name, row.note) for row in BACKBONES.values()],
    "recipes": lambda: [(name, str(load(name).get("about", ""))) for name in RECIPES],
    "preprocessings": lambda: [(name, _done(preset)) for name, preset in PRESETS.items()],
}
