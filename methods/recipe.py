"""Resolves recipes, which say how to train and what to report, for one method on one task.

Recipes are TOML files in `methods/recipes/`.

A file holds Recipe fields at the top, then a table per method, then `[method.tasks]` with a row per task; the more
special one wins. A variant with a recipe of its own is named by its spec, `["convpass:variant=attn"]`, and starts from
the method's; `["vpt_deep:tokens=100.."]` is one with 100 tokens or more, whether the user or a row says so. Behind an
`@` stand the suites and kinds of backbone that a table is for, `["dtl@swin"]`, `["lora@few_shot,domain"]`. Tables are
read in the order of the file, and a later one wins. A key that is no Recipe field is a setting (`tokens = 10`).

Where a file says `holds = "vtab,vit"`, its tables are for that suite and kind of backbone unless they name others, and
a method is refused where no table is for it. One that says `chosen = true` was written by `tune`: where it has rows for
tasks, it holds for these and for no others.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from methods.base import Method
from methods.parts.activations import Activations
from methods.settings import Count, Fraction, Number, Positive, check, hints_of
from methods.settings import parse as parse_setting
from methods.spec import closest, parse

__all__ = [
    "RECIPES", "TUNED", "Context", "NotHeld", "Recipe", "called", "is_file", "known_as", "load", "resolve",
    "settings_of",
]  # fmt: skip

FOLDER = Path(__file__).parent / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.toml"))


class NotHeld(ValueError):
    """The recipe has nothing for the method, or nothing on this suite and backbone."""


@dataclass(frozen=True)
class Recipe:
    """Everything about training that is not the method. Rates are per step; epochs count from 0."""

    optimizer: Literal["adamw", "adam", "sgd", "adamw8bit"] = "adamw"
    learning_rate: Positive = 1e-3
    lr_batch_size: Count | None = None  # the rate is given for this batch size and scales with the batch
    weight_decay: Number = 1e-4
    decay: Literal["all", "matrices", "not_biases"] = "matrices"  # which trainable tensors decay
    momentum: Fraction = 0.9
    eps: Positive = 1e-8
    schedule: Literal["warmup_cosine", "timm_cosine"] = "warmup_cosine"  # bench/train/schedule.py
    schedule_unit: Literal["epoch", "step"] = "epoch"
    warmup_epochs: Literal[0] | Count = 10
    warmup_lr: Number = 0.0
    min_lr: Number = 0.0
    cosine_epochs: Count | None = None  # length of the cosine where it is not the number of epochs
    lag: bool = False  # the schedule is read one epoch late
    epochs: Count = 100
    batch_size: Count = 64
    drop_last: bool = False
    max_grad_norm: Positive | None = None  # gradients are scaled down to this norm, over all that is trained
    steps: Count | None = None  # updates in all, where the source counts these: the last epoch is cut short
    reshuffle: bool = True  # draw the order of the images anew in every epoch
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    attention: Literal["fused", "eager"] = "fused"
    drop_path: Fraction = 0.0
    backbone_dropout: Fraction = 0.0  # after the embedding and both MLP layers
    head: Literal["linear", "normal", "prior"] = "normal"
    preprocessing: str = "checkpoint"  # a preset of datasets/transforms/preprocessing.py
    activations: str = ""  # what blocks keep less of for their backward pass: words of methods/parts/activations.py
    optimizer_in_backward: bool = False  # each tensor is updated as soon as its gradient is there, which is then freed
    evaluate_every: Literal[0] | Count = 0  # epochs between test evaluations besides the last one
    reported: Literal["last", "best"] = "last"  # what the source printed; the headline here is the last epoch

    def __post_init__(self) -> None:
        hints = hints_of(Recipe)
        for f in dataclasses.fields(self):
            try:
                check(hints[f.name], getattr(self, f.name))
            except ValueError as error:
                raise ValueError(f"recipe: {f.name}={error}") from None
        object.__setattr__(self, "activations", str(Activations.of(self.activations)))  # the one way to write them
        if self.optimizer_in_backward and self.max_grad_norm is not None:
            raise ValueError("recipe: optimizer_in_backward=True, but max_grad_norm has to see all gradients first")
        if self.optimizer_in_backward and self.precision == "fp16":
            raise ValueError("recipe: optimizer_in_backward=True, but fp16 has to see all gradients before a step")

    def changes(self) -> dict[str, Any]:
        """Return only the fields that differ from the defaults, so that a new field does not orphan old records."""
        return {f.name: value for f in dataclasses.fields(self) if (value := getattr(self, f.name)) != f.default}


FIELDS = frozenset(f.name for f in dataclasses.fields(Recipe))
RENAMED = {  # earlier words of fields, as in results/words.py
    "rate_per_images": "lr_batch_size",
    "per": "schedule_unit",
    "warmup_rate": "warmup_lr",
    "final_rate": "min_lr",
    "epsilon": "eps",
}
ABOUT = ("about", "complete", "holds", "chosen")  # keys of a file that say something about it
TUNED = "tuned"  # folder of the recipes that `tune` writes, and how a call words them: tuned:NAME
FAMILIES = ("vit", "swin")  # kinds of backbone that a table can be for


@dataclass(frozen=True)
class Scope:
    """The suites and kinds of backbone that a table is for; none stands for all."""

    suites: tuple[str, ...] = ()
    families: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> Scope:
        """Parse the words behind an `@`: "few_shot,domain", "swin"."""
        words = [word.strip() for word in text.split(",") if word.strip()]
        return cls(
            tuple(word for word in words if word not in FAMILIES), tuple(word for word in words if word in FAMILIES)
        )

    def within(self, default: Scope) -> Scope:
        """Fill in from `default` what this scope does not say."""
        return Scope(self.suites or default.suites, self.families or default.families)

    def has(self, context: Context) -> bool:
        """Return whether the context's suite and backbone are among these; an unknown one counts as being so."""
        suite = (context.suite or "").partition(":")[0]
        return (not self.suites or not suite or suite in self.suites) and (
            not self.families or context.family is None or context.family in self.families
        )

    def __str__(self) -> str:
        return f"{' and '.join(self.suites)} on {' and '.join(self.families)}"


@dataclass(frozen=True)
class Context:
    """What is trained besides the method: the suite, the kind of backbone, and the suite's own preprocessing.

    Where nothing is said of the suite or the backbone, tables that are for some only are left out and none is refused.
    """

    suite: str | None = None
    family: str | None = None
    preprocessing: str | None = None


ANYWHERE = Context()


@dataclass(frozen=True)
class Table:
    """One table of a file: the method and settings it is for, where it is for, and what it says."""

    method: str
    settings: Mapping[str, str]
    scope: Scope
    values: Mapping[str, Any]

    @classmethod
    def of(cls, key: str, values: Mapping[str, Any]) -> Table:
        """Parse the key of a table in the file; raises ValueError when there is no such method, setting or value."""
        return cls(*_read_key(key), values)

    def fits(self, method: Method, found: Mapping[str, Any]) -> bool:
        """Return whether the table is for the method with its settings, `found` where the user left them alone."""
        if self.method != method.name:
            return False
        untouched = {key: value for key, value in found.items() if key not in _touched(method)}
        return all(_meets(method, key, untouched, text) for key, text in self.settings.items())


@cache
def _read_key(key: str) -> tuple[str, Mapping[str, str], Scope]:
    spec, _, scope = key.partition("@")
    name, *settings = spec.split(":")
    if len(parse(":".join([name, *(setting.removesuffix("..") for setting in settings)]))) > 1:
        raise ValueError(f"{spec!r} is more than one method")
    return name, dict(setting.split("=", 1) for setting in settings), Scope.of(scope)


def _meets(method: Method, key: str, found: Mapping[str, Any], text: str) -> bool:
    """Return whether a setting has the value that the text writes, or at least it if the text ends in two dots."""
    value = found.get(key, getattr(method, key))
    least = parse_setting(hints_of(type(method))[key], text.removesuffix(".."))
    return bool(value >= least) if text.endswith("..") else bool(value == least)


def is_file(name: str) -> bool:
    """Return whether the text names a recipe by the path of its file."""
    return name.endswith(".toml")


def called(name: str) -> str:
    """Return what records call a recipe: a file by its name without the folder and the ending, a tuned one as such."""
    if not is_file(name):
        return name
    path = Path(name)
    return f"{TUNED}:{path.stem}" if path.parent.name == TUNED else path.stem


def known_as(key: str, known: Collection[str]) -> str:
    """Return what a field or setting that is not known is called now, or else the closest known one."""
    return f"it is called {RENAMED[key]} now" if key in RENAMED else closest(key, known)


def settings_of(words: Sequence[str]) -> list[dict[str, Any]]:
    """Parse `field=value` and `field=value/value` into recipe fields: one table for every combination.

    Raises ValueError with the known fields when one is not known, and with what it may be when a value does not fit.
    """
    hints, sweeps = hints_of(Recipe), dict[str, list[Any]]()
    for word in (part.strip() for text in words for part in text.split(",") if part.strip()):
        key, equals, text = word.partition("=")
        if not equals or key not in FIELDS:
            wanted = f"no recipe field {key!r}" if equals else f"{word!r} is not of the form field=value"
            raise ValueError(f"--set: {wanted}; {known_as(key, FIELDS)}")
        if key in sweeps:
            raise ValueError(f"--set gives {key} twice; write {key}=A/B for both")
        try:
            sweeps[key] = [check(hints[key], parse_setting(hints[key], value)) for value in text.split("/")]
        except ValueError as error:
            raise ValueError(f"--set: {key}={error}") from None
    return [dict(zip(sweeps, choice, strict=True)) for choice in itertools.product(*sweeps.values())]


@cache
def load(name: str) -> dict[str, Any]:
    """Load the tables of one recipe file; raises ValueError when there is no such recipe or it cannot be right."""
    if name not in RECIPES and not is_file(name):
        raise ValueError(f"no recipe {name!r}; {closest(name, RECIPES)}; or a file that ends in .toml")
    try:
        path = Path(name) if is_file(name) else FOLDER / f"{name}.toml"
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe {name} cannot be read: {error}") from error
    except OSError as error:
        raise ValueError(f"recipe {name} cannot be read: {error.strerror}") from error
    _check_tables(name, tables)
    return tables


def _check_tables(recipe: str, tables: Mapping[str, Any]) -> None:
    """Raise ValueError for a table that nothing would read."""
    for key, table in tables.items():
        if not isinstance(table, dict):
            continue
        try:
            Table.of(key, table)
        except ValueError as error:
            raise ValueError(f"recipe {recipe}: {error}") from None
        if unknown := [name for name, rows in table.items() if isinstance(rows, dict) and name != "tasks"]:
            raise ValueError(f"recipe {recipe}, {key}: no table {unknown[0]!r}; known: tasks")


def resolve(
    name: str, method: Method, task: str, overrides: Mapping[str, Any], context: Context = ANYWHERE
) -> tuple[Recipe, Method]:
    """Return the recipe for `method` on `task`, and the method with the recipe's settings.

    A setting that the user changed stays; `overrides` are Recipe fields that the user gave and win over the file.
    Another number of epochs stretches the whole schedule: warm-up and cosine keep their share. Raises NotHeld
    where the recipe does not hold, with what it holds for.
    """
    values = _values(name, method, task, context)
    if load(name).get("chosen"):  # `tune` may have written it with earlier words
        own = {f.name for f in dataclasses.fields(method)}
        values = {key if key in own else RENAMED.get(key, key): value for key, value in values.items()}
    recipe = Recipe(**{key: value for key, value in values.items() if key in FIELDS})
    changes = {**_stretched(recipe, overrides.get("epochs", recipe.epochs)), **overrides}
    recipe = dataclasses.replace(recipe, **changes) if changes else recipe
    return recipe, _configure(method, {key: value for key, value in values.items() if key not in FIELDS}, name)


def _stretched(recipe: Recipe, epochs: int) -> dict[str, Any]:
    """Scale the lengths of a schedule's parts to `epochs` in all.

    Nothing changes at the recipe's own number, nor at the length of its cosine, which only leaves out what comes after.
    """
    if epochs in (recipe.epochs, recipe.cosine_epochs):
        return {}
    share = epochs / recipe.epochs
    cosine = recipe.cosine_epochs and max(1, round(recipe.cosine_epochs * share))
    steps = recipe.steps and max(1, round(recipe.steps * share))
    return {"warmup_epochs": round(recipe.warmup_epochs * share), "cosine_epochs": cosine, "steps": steps}


def _values(name: str, method: Method, task: str, context: Context) -> dict[str, Any]:
    """Merge the top of the file with each table that is for the method, and with its row for the task.

    The suite's own preprocessing wins over tables that are not for the suite by name.
    """
    tables = load(name)
    mine = {key: table for key, table in tables.items() if re.split("[@:]", key)[0] == method.name}
    own = [Table.of(key, table) for key, table in mine.items() if isinstance(table, dict)]
    if tables.get("complete") and not own and not tables.get("chosen"):
        raise NotHeld(f"recipe {name} has no entry for {method.name}; use another, e.g. --recipe common")
    merged = {key: value for key, value in tables.items() if not isinstance(value, dict) and key not in ABOUT}
    suited = {} if context.preprocessing is None else {"preprocessing": context.preprocessing}
    merged |= suited
    everywhere, scopes = Scope.of(tables.get("holds", "")), []
    for table in sorted(own, key=lambda table: bool(table.settings or table.scope != Scope())):  # the method's first
        if not table.fits(method, merged):
            continue
        scopes.append(table.scope.within(everywhere))
        if _is_for(table.scope, context):
            rows = table.values.get("tasks", {})
            if tables.get("chosen") and rows and task and task not in rows:
                known = ", ".join(rows)
                raise NotHeld(f"{called(name)} was tuned for {method} on {known}, not on {task}; tune it there first")
            row = rows.get(task, {})
            said = {key: value for key, value in table.values.items() if not isinstance(value, dict)} | row
            merged |= said if table.scope.suites else said | suited
    if tables.get("chosen") and not scopes:
        known = ", ".join(key for key, table in tables.items() if isinstance(table, dict))
        raise NotHeld(f"{called(name)} was tuned for {known}, not for {method}; tune it first")
    if not any(scope.has(context) for scope in scopes) and scopes:
        known = "; ".join(dict.fromkeys(map(str, scopes)))
        where = " on ".join(word for word in (context.suite, context.family) if word)
        raise NotHeld(f"recipe {name} has {method} for {known}, not for {where}; use another --recipe")
    return merged


def _is_for(scope: Scope, context: Context) -> bool:
    """Return whether a table with this scope is read: one for some suites or backbones only where these are known."""
    known = (not scope.suites or context.suite is not None) and (not scope.families or context.family is not None)
    return known and scope.has(context)


def _touched(method: Method) -> set[str]:
    """Return the settings that the user gave."""
    known = {f.name: f.default for f in dataclasses.fields(method)}
    return {key for key in known if key in method.explicit_settings or getattr(method, key) != known[key]}


def _configure(method: Method, settings: dict[str, Any], recipe: str) -> Method:
    """Return the method with the recipe's settings in place of its untouched defaults."""
    known = {f.name for f in dataclasses.fields(method)}
    if unknown := sorted(settings.keys() - known):
        raise ValueError(
            f"recipe {recipe}, {method.name}: {unknown[0]!r} is neither a recipe field nor a setting; "
            f"{known_as(unknown[0], FIELDS | known)}"
        )
    touched = _touched(method)
    return dataclasses.replace(method, **{key: value for key, value in settings.items() if key not in touched})
