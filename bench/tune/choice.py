"""Writes what a search chose as a recipe: one row for each method and task, every value spelt out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import results
from bench.tune.search import Best, Search
from methods.recipe import TUNED, Recipe

__all__ = ["recipe_path", "write_recipe"]


def recipe_path(root: Path, name: str) -> Path:
    """Return where the recipe of the search `name` lies below a folder of results."""
    return root / TUNED / f"{name}.toml"


def write_recipe(root: Path, name: str, command: str, chosen: Sequence[tuple[Search, Best]]) -> Path:
    """Write the recipe that `--recipe tuned:NAME` reads, whole or not at all, and return its path.

    Each row holds what differs from the defaults of a recipe, and all settings of the method.
    """
    first = chosen[0][0].base
    lines = [
        f"about = {_toml(f'Chosen on validation images by {command}, {datetime.now(UTC):%Y-%m-%d}')}",
        "chosen = true",
        "complete = true",
        f"holds = {_toml(f'{first.suite},{first.backbone.family}')}",
    ]
    for method in dict.fromkeys(str(search.base.method) for search, _ in chosen):
        lines += ["", f"[{_toml(method)}.tasks]"]
        for search, best in chosen:
            if str(search.base.method) == method:
                row = ", ".join(f"{key} = {_toml(value)}" for key, value in _row(best).items())
                lines.append(
                    f"{_toml(search.base.task.name)} = {{ {row} }} "
                    f"# {best.trial.value:.2%} on validation, trial {best.trial.number}"
                )
    path = recipe_path(root, name)
    results.write_whole(path, ("\n".join(lines) + "\n").encode())
    return path


def _row(best: Best) -> dict[str, Any]:
    """The resolved recipe and the method's settings, without None: TOML has no word for it, and it is a default."""
    values = dataclasses.asdict(best.run.recipe) | dataclasses.asdict(best.run.resolved)
    defaults = dataclasses.asdict(Recipe())
    return {key: value for key, value in values.items() if value is not None and value != defaults.get(key, ...)}


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)
