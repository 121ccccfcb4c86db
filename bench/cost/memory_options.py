"""Options of a recipe that save memory: what each changes of the results, in a sentence, and who gains nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from rich.console import Console

from bench.cost.case import Case
from bench.cost.plan import plan
from bench.train import optimizers
from methods import Unsupported
from methods.parts import activations
from methods.parts.activations import Activations
from methods.recipe import Recipe

__all__ = ["SENTENCES", "gainless", "options_of", "say", "say_gainless"]

SENTENCES = activations.SENTENCES | optimizers.SENTENCES
LEAST = 0.001  # share of the peak; less than that counts as nothing


def options_of(recipe: Recipe) -> dict[str, Recipe]:
    """The options that are on, by the names of `SENTENCES`, each with the recipe without it."""
    kept = Activations.of(recipe.activations)
    without = {name: dataclasses.replace(recipe, activations=str(kept.without(name))) for name in kept.options()}
    if recipe.optimizer == "adamw8bit":
        without["adamw8bit"] = dataclasses.replace(recipe, optimizer="adamw")
    if recipe.optimizer_in_backward:
        without["optimizer_in_backward"] = dataclasses.replace(recipe, optimizer_in_backward=False)
    return without


def gainless(case: Case) -> list[str]:
    """The options without which the planned peak is the same, or lower. Raises Unsupported."""
    without = options_of(case.recipe)
    peak = _peak(case) if without else 0
    others = {name: _peak(dataclasses.replace(case, recipe=recipe)) for name, recipe in without.items()}
    return [name for name, other in others.items() if other - peak < LEAST * peak]


def say(recipes: Iterable[Recipe], console: Console) -> None:
    """One sentence for each option in use: which result it changes."""
    for name in dict.fromkeys(name for recipe in recipes for name in options_of(recipe)):
        console.print(f"{name}: {SENTENCES[name]}", markup=False, highlight=False, soft_wrap=True)


def say_gainless(cases: Iterable[Case], console: Console) -> None:
    """One sentence for each method that gains nothing from an option in use."""
    for method, names, batch in _found(cases):
        words = f"{method} gains nothing from {' and '.join(names)}: its planned peak at batch {batch} is no lower"
        console.print(words, markup=False, highlight=False, soft_wrap=True)


def _found(cases: Iterable[Case]) -> Iterator[tuple[str, list[str], int]]:
    for case in dict.fromkeys(case for case in cases if options_of(case.recipe)):
        try:
            names = gainless(case)
        except Unsupported:
            continue
        if names:
            yield str(case.method), names, case.recipe.batch_size


def _peak(case: Case) -> int:
    return plan(case.training(), case.image_size, case.recipe, case.rules).total
