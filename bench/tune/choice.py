"""Writes what a search chose as a recipe: values for each method and task, or for each method, all spelt out."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

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
    the method's own table; what the recipe that was searched gives only some of the tasks stands in their rows. What
    earlier calls of that name chose for other methods and tasks stays; a choice by tasks and one for the suite take
    each other's place.
    """
    first = chosen[0][0].bases[0]
    holds = f"{first.suite},{first.backbone.family}"
    path = recipe_path(root, name)
    with FileLock(path.with_suffix(".lock")):
        tables = _earlier(path, holds)
        last = ", last" if tables else ""
        for method in dict.fromkeys(str(search.method) for search, _ in chosen):
            before = tables.get(method, {})
            found = _table([(search, best) for search, best in chosen if str(search.method) == method])
            by_task = before.keys() == found.keys() == {"tasks"}
            tables[method] = {"tasks": before["tasks"] | found["tasks"]} if by_task else found
        head = {
            "about": f"Chosen on validation images{last} by {command}, {datetime.now(UTC):%Y-%m-%d}",
            "chosen": True,
            "complete": True,
            "holds": holds,
        }
        lines = [f"{key} = {_toml(value)}" for key, value in head.items()]
        scores = {(str(search.method), search.tasks): _score(search, best) for search, best in chosen}
        for method, table in tables.items():
            lines += _lines(method, table, {on: score for (known, on), score in scores.items() if known == method})
        results.write_whole(path, ("\n".join(lines) + "\n").encode())
    return path


def _earlier(path: Path, holds: str) -> dict[str, dict[str, Any]]:
    """Read the tables of a recipe that an earlier call wrote for the same suite and kind of backbone; none else."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: table for key, table in tables.items() if isinstance(table, dict) and tables.get("holds") == holds}


def _table(chosen: Sequence[tuple[Search, Best]]) -> dict[str, Any]:
    """Make the table of a method: a row for each task, or the values that its tasks share and rows of the others."""
    search, best = chosen[0]
    if search.asked.choose == "task":
        return {"tasks": {best.runs[0].task.name: _row(best.runs[0]) for _, best in chosen}}
    rows = {run.task.name: _row(run) for run in best.runs}
    first = next(iter(rows.values()))
    shared = {key: value for key, value in first.items() if all(row.get(key, ...) == value for row in rows.values())}
    own = {task: {key: value for key, value in row.items() if key not in shared} for task, row in rows.items()}
    return shared | ({"tasks": own} if any(own.values()) else {})


def _lines(method: str, table: Mapping[str, Any], scores: Mapping[str, str]) -> list[str]:
    """Write a table as TOML, with the scores of this call, by the tasks that they are for, as comments."""
    values, rows = {key: value for key, value in table.items() if key != "tasks"}, table.get("tasks", {})
    lines = [""]
    if values:
        lines += [f"[{_toml(method)}]" + "".join(f" # {score}" for score in scores.values())]
        lines += [f"{key} = {_toml(value)}" for key, value in values.items()]
        lines += [""] if rows else []
    if rows:
        lines.append(f"[{_toml(method)}.tasks]")
    for task, row in rows.items():
        pairs = ", ".join(f"{key} = {_toml(value)}" for key, value in row.items())
        lines.append(f"{_toml(task)} = {{ {pairs} }}" + (f" # {scores[task]}" if task in scores else ""))
    return lines


def _score(search: Search, best: Best) -> str:
    mean = "" if search.asked.choose == "task" else f", the mean of {search.tasks}"
    return f"{best.trial.value:.2%} on validation, trial {best.trial.number}{mean}"


def _row(run: Run) -> dict[str, Any]:
    """Return resolved recipe and settings of the method, without None: TOML has no word for it, and it is a default."""
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
