"""How to train and what to report: TOML files in `methods/recipes/`, resolved for one method on one task.

A file holds Recipe fields at the top, then a table per method, then `[method.tasks]` with a row per task; the more
special one wins. A variant with a recipe of its own is named by its spec, `["convpass:variant=attn"]`, and starts from
the method's. A key that is no Recipe field is a setting of the method (`tokens = 10`).
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_type_hints

from methods.base import Method
from methods.settings import Count, Fraction, Number, Positive, check
from methods.spec import closest, parse

__all__ = ["RECIPES", "Recipe", "load", "resolve"]

FOLDER = Path(__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml"))


@dataclass(frozen=True)
class Recipe:
    """Everything about training that is not the method. Rates are per step; epochs count from 0."""

    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: Positive = 1e-3
    rate_per_images: Count | None = None  # the rate is given for this batch size and scales with the batch
    weight_decay: Number = 1e-4
    decay: Literal["all", "matrices", "not_biases"] = "matrices"  # which trainable tensors decay
    momentum: Fraction = 0.9
    epsilon: Positive = 1e-8
    schedule: Literal["warmup_cosine", "timm_cosine"] = "warmup_cosine"  # bench/schedules.py
    per: Literal["epoch", "step"] = "epoch"
    warmup_epochs: Literal[0] | Count = 10
    warmup_rate: Number = 0.0
    final_rate: Number = 0.0
    cosine_epochs: Count | None = None  # length of the cosine where it is not the number of epochs
    lag: bool = False  # the schedule is read one epoch late
    epochs: Count = 100
    batch_size: Count = 64
    drop_last: bool = False
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    attention: Literal["fused", "eager"] = "fused"
    drop_path: Fraction = 0.0
    backbone_dropout: Fraction = 0.0  # after the embedding and both MLP layers
    head: Literal["linear", "normal", "prior"] = "normal"
    preprocessing: str = "checkpoint"  # a preset of datasets/preprocessing.py
    evaluate_every: Literal[0] | Count = 0  # epochs between test evaluations besides the last one
    reported: Literal["last", "best"] = "last"  # what the source printed; the headline here is the last epoch

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for f in dataclasses.fields(self):
            try:
                check(hints[f.name], getattr(self, f.name))
            except ValueError as error:
                raise ValueError(f"recipe: {f.name}={error}") from None

    def changes(self) -> dict[str, Any]:
        """Only the fields that differ from the defaults, so that a new field does not orphan old records."""
        defaults = Recipe()
        values = dataclasses.asdict(self)
        return {key: value for key, value in values.items() if value != getattr(defaults, key)}


FIELDS = frozenset(f.name for f in dataclasses.fields(Recipe))
ABOUT = ("about", "complete")  # keys of a file that say something about it


@cache
def load(name: str) -> dict[str, Any]:
    """The tables of one recipe file; raises ValueError when there is no such recipe or it cannot be right."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; {closest(name, RECIPES)}")
    try:
        tables = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"recipe {name} cannot be read: {error}") from error
    _check_tables(name, tables)
    return tables


def _check_tables(recipe: str, tables: Mapping[str, Any]) -> None:
    """Raise ValueError for a table that nothing would read."""
    for method, table in tables.items():
        if not isinstance(table, dict):
            continue
        try:
            if len(parse(method)) > 1:
                raise ValueError(f"{method!r} is more than one method")
        except ValueError as error:
            raise ValueError(f"recipe {recipe}: {error}") from None
        if unknown := [key for key, rows in table.items() if isinstance(rows, dict) and key != "tasks"]:
            raise ValueError(f"recipe {recipe}, {method}: no table {unknown[0]!r}; known: tasks")


def resolve(name: str, method: Method, task: str, overrides: Mapping[str, Any]) -> tuple[Recipe, Method]:
    """The recipe for `method` on `task`, and the method with the recipe's settings.

    A setting that the user changed stays; `overrides` are Recipe fields that the user gave and win over the file.
    Another number of epochs stretches the whole schedule: warm-up and cosine keep their share.
    """
    values = _values(name, method, task)
    recipe = Recipe(**{key: value for key, value in values.items() if key in FIELDS})
    recipe = dataclasses.replace(recipe, **{**_stretched(recipe, overrides.get("epochs", recipe.epochs)), **overrides})
    return recipe, _configure(method, {key: value for key, value in values.items() if key not in FIELDS}, name)


def _stretched(recipe: Recipe, epochs: int) -> dict[str, Any]:
    """The lengths of a schedule's parts when the whole is `epochs` long."""
    cosine = recipe.cosine_epochs and max(1, round(recipe.cosine_epochs * epochs / recipe.epochs))
    return {"warmup_epochs": round(recipe.warmup_epochs * epochs / recipe.epochs), "cosine_epochs": cosine}


def _values(name: str, method: Method, task: str) -> dict[str, Any]:
    """The file's top, then what there is for the method and for its variant: each table, and in it the task's row."""
    tables = load(name)
    if tables.get("complete") and method.name not in tables:
        raise ValueError(f"recipe {name} has no entry for {method.name}; use another --recipe")
    merged = dict(tables)
    for table in _tables_of(method, tables):
        merged |= {**table, **table.get("tasks", {}).get(task, {})}
    return {key: value for key, value in merged.items() if not isinstance(value, dict) and key not in ABOUT}


def _tables_of(method: Method, tables: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The method's table, then those of the specs that it fits."""
    yield tables.get(method.name, {})
    for spec, table in tables.items():
        name, *settings = spec.split(":")
        if name == method.name and settings:
            (variant,) = parse(spec)
            given = (setting.partition("=")[0] for setting in settings)
            if all(getattr(method, setting) == getattr(variant, setting) for setting in given):
                yield table


def _configure(method: Method, settings: dict[str, Any], recipe: str) -> Method:
    """The method with the recipe's settings in place of its untouched defaults."""
    known = {f.name: f.default for f in dataclasses.fields(method)}
    if unknown := sorted(settings.keys() - known.keys()):
        raise ValueError(f"recipe {recipe}, {method.name}: {unknown[0]} is neither a recipe field nor a setting")
    touched = {key for key in known if key in method.given or getattr(method, key) != known[key]}
    return dataclasses.replace(method, **{key: value for key, value in settings.items() if key not in touched})
