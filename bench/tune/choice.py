"""Writes what a search chose as a recipe: values for each method and task, or for each method, all spelt out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import results
from bench.run import Run
from bench.tune.search import Best, Search
from methods.recipe import TUNED, Recipe

__all__ = ["recipe_path", "write_recipe"]


def recipe_path(root: Path, name: str) -> Path:
    """Return where the recipe of the search `name` lies below a folder of results."""
    return root / TUNED / f"{name}.toml"


def write_recipe(root: Path, name: str, command: str, chosen: Sequence[tuple[Search, Best]]) -> Path:
    """Write the recipe that `--recipe tuned:NAME` reads, whole or not at all, and return its path.

    A method has a row for each task that was searched by itself. Where the tasks share one choice, its values stand in
    the method's own table; what the recipe that was searched gives only some of the tasks stands in their rows.
    """
    first = chosen[0][0].bases[0]
    lines = [
        f"about = {_toml(f'Chosen on validation images by {command}, {datetime.now(UTC):%Y-%m-%d}')}",
        "chosen = true",
        "complete = true",
        f"holds = {_toml(f'{first.suite},{first.backbone.family}')}",
    ]
    for method in dict.fromkeys(str(search.method) for search, _ in chosen):
        lines += _table(method, [(search, best) for search, best in chosen if str(search.method) == method])
    path = recipe_path(root, name)
    results.write_whole(path, ("\n".join(lines) + "\n").encode())
    return path


def _table(method: str, chosen: Sequence[tuple[Search, Best]]) -> list[str]:
    """The lines of a method."""
    search, best = chosen[0]
    if search.choose == "task":
        rows = {best.runs[0].task.name: _row(best.runs[0]) for _, best in chosen}
        return ["", *_task_rows(method, rows, [_score(best) for _, best in chosen])]
    rows = {run.task.name: _row(run) for run in best.runs}
    first = next(iter(rows.values()))
    shared = {key: value for key, value in first.items() if all(row.get(key, ...) == value for row in rows.values())}
    lines = ["", f"[{_toml(method)}] # {_score(best)}, the mean of {search.tasks}"]
    lines += [f"{key} = {_toml(value)}" for key, value in shared.items()]
    rows = {task: {key: value for key, value in row.items() if key not in shared} for task, row in rows.items()}
    return [*lines, "", *_task_rows(method, rows)] if any(rows.values()) else lines


def _task_rows(method: str, rows: Mapping[str, Mapping[str, Any]], comments: Sequence[str] = ()) -> list[str]:
    lines = [f"[{_toml(method)}.tasks]"]
    for (task, row), comment in itertools.zip_longest(rows.items(), comments):
        values = ", ".join(f"{key} = {_toml(value)}" for key, value in row.items())
        lines.append(f"{_toml(task)} = {{ {values} }}" + (f" # {comment}" if comment else ""))
    return lines


def _score(best: Best) -> str:
    return f"{best.trial.value:.2%} on validation, trial {best.trial.number}"


def _row(run: Run) -> dict[str, Any]:
    """The resolved recipe and the method's settings, without None: TOML has no word for it, and it is a default."""
    values = dataclasses.asdict(run.recipe) | dataclasses.asdict(run.resolved)
    defaults = dataclasses.asdict(Recipe())
    return {key: value for key, value in values.items() if value is not None and value != defaults.get(key, ...)}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
