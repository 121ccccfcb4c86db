"""What fits a card: the largest batch whose planned reserved memory is within a budget, and options that save memory.

A card must have more than what is planned to be reserved, by a stated margin that is the same for every method. Of 136
cases that were measured on an H200 (results/measured/gpu_memory.csv) half reserve within 0.2 % of the plan, and all but
two at most 6.6 % more; those two, side-tuning in fp32 with convolutions of cuDNN, at most 188 MiB more. The CUDA
context lies outside of the allocator and was not measured.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator

from rich.console import Console

from bench.cost.case import Case
from bench.cost.live_memory import Peak
from bench.cost.plan import plan
from bench.cost.reserved import allocator_peaks
from bench.errors import UsageError
from bench.train import optimizer
from methods import Unsupported
from methods.parts import activations
from methods.parts.activations import Activations
from methods.recipe import Recipe

__all__ = [
    "FIXED", "SENTENCES", "SHARE", "bytes_of", "gainless", "largest_batch", "needed", "needed_by", "options_of", "say",
    "say_gainless", "weight_bytes",
]  # fmt: skip

FIXED = 512 * 2**20  # the CUDA context
SHARE = 0.05  # of what is reserved: workspaces of cuDNN, kernels chosen otherwise on another card
UNITS = {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "MB": 10**6}
SECOND = 33  # the batch that, with a batch of 1, gives the first slope
SENTENCES = activations.SENTENCES | optimizer.SENTENCES
LEAST = 0.001  # share of the peak; less than that counts as nothing


def needed(reserved_bytes: int) -> int:
    """Return how many bytes a card must have for a step that is planned to reserve so many."""
    return reserved_bytes + round(SHARE * reserved_bytes) + FIXED


def bytes_of(text: str, option: str = "--budget") -> int:
    """Return the bytes that "12GiB" or "800 MB" says; raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    units = {unit.lower(): size for unit, size in UNITS.items()}
    if found is None or found[2].lower() not in units:
        raise UsageError(f"{option} {text!r} is not an amount of memory; write 12GiB, or another of {', '.join(UNITS)}")
    return int(float(found[1]) * units[found[2].lower()])


def weight_bytes(case: Case) -> int:
    """Return the bytes of the weights, which are there before the first image. Raises Unsupported."""
    network = case.training()
    return sum(tensor.numel() * tensor.element_size() for tensor in (*network.parameters(), *network.buffers()))


def needed_by(case: Case, batch_size: int) -> int:
    """Return how many bytes a card must have for a training step of this batch."""
    return _needed(_peak(case, batch_size))


def largest_batch(case: Case, budget: int) -> int:
    """Return the largest batch that fits, 0 if not even one image does.

    Reserved memory grows by whole segments along the nearly straight line of the live bytes. The slope of that line
    gives every second guess and halving the others, so that no long stair is walked image by image.
    """
    first, second = _peak(case, 1), _peak(case, SECOND)
    slope = (second.total - first.total) / (SECOND - 1)
    room = budget - _needed(first)
    if room < 0:
        return 0
    fits, guess, tries = 1, 1, 0
    too_large: int | None = None
    if _needed(second) > budget:
        too_large = SECOND
    else:
        fits, guess, room = SECOND, SECOND, budget - _needed(second)
    while too_large is None or too_large - fits > 1:
        guess += int(room / slope) or (1 if room >= 0 else -1)
        if too_large is None:
            guess = max(guess, fits + 2**tries)
        elif tries % 2:
            guess = (fits + too_large) // 2
        else:
            guess = min(max(guess, fits + 1), too_large - 1)
        room = budget - needed_by(case, guess)
        fits, too_large = (guess, too_large) if room >= 0 else (fits, guess)
        tries += 1
    return fits


def _needed(peak: Peak) -> int:
    return needed(allocator_peaks(peak).reserved)


def options_of(recipe: Recipe) -> dict[str, Recipe]:
    """Return the options that are on, by the names of `SENTENCES`, each with the recipe without it."""
    kept = Activations.of(recipe.activations)
    without = {name: dataclasses.replace(recipe, activations=str(kept.without(name))) for name in kept.options()}
    if recipe.optimizer == "adamw8bit":
        without["adamw8bit"] = dataclasses.replace(recipe, optimizer="adamw")
    if recipe.optimizer_in_backward:
        without["optimizer_in_backward"] = dataclasses.replace(recipe, optimizer_in_backward=False)
    return without


def gainless(case: Case) -> list[str]:
    """Return the options without which the planned peak is the same, or lower. Raises Unsupported."""
    without = options_of(case.recipe)
    peak = _peak(case).total if without else 0
    others = {name: _peak(dataclasses.replace(case, recipe=recipe)).total for name, recipe in without.items()}
    return [name for name, other in others.items() if other - peak < LEAST * peak]


def say(recipes: Iterable[Recipe], console: Console) -> None:
    """Print one sentence for each option in use: which result it changes."""
    for name in dict.fromkeys(name for recipe in recipes for name in options_of(recipe)):
        console.print(f"{name}: {SENTENCES[name]}", markup=False, highlight=False, soft_wrap=True)


def say_gainless(cases: Iterable[Case], console: Console) -> None:
    """Print one sentence for each method that gains nothing from an option in use."""
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


def _peak(case: Case, batch_size: int | None = None) -> Peak:
    recipe = dataclasses.replace(case.recipe, batch_size=batch_size or case.recipe.batch_size)
    return plan(case.training(), case.image_size, recipe, case.rules)
