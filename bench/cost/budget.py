"""Which batch fits a card: the largest one whose planned reserved memory, plus the margin, is within a budget."""

from __future__ import annotations

import dataclasses
import re

from bench.cost.case import Case
from bench.cost.live_memory import Peak
from bench.cost.margin import needed
from bench.cost.plan import plan
from bench.cost.reserved import allocator_peaks
from bench.errors import WrongCall

__all__ = ["bytes_of", "largest_batch", "needed_by", "weight_bytes"]

UNITS = {"GiB": 2**30, "MiB": 2**20, "GB": 10**9, "MB": 10**6}
SECOND = 33  # the batch that, with a batch of 1, gives the first slope


def bytes_of(text: str, option: str = "--budget") -> int:
    """The bytes that "12GiB" or "800 MB" says; raises WrongCall."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    units = {unit.lower(): size for unit, size in UNITS.items()}
    if found is None or found[2].lower() not in units:
        raise WrongCall(f"{option} {text!r} is not an amount of memory; write 12GiB, or another of {', '.join(UNITS)}")
    return int(float(found[1]) * units[found[2].lower()])


def weight_bytes(case: Case) -> int:
    """What is there before the first image. Raises Unsupported."""
    network = case.training()
    return sum(tensor.numel() * tensor.element_size() for tensor in (*network.parameters(), *network.buffers()))


def needed_by(case: Case, batch_size: int) -> int:
    """Bytes of a card on which a training step of this batch fits."""
    return _needed(_peak(case, batch_size))


def largest_batch(case: Case, budget: int) -> int:
    """The largest batch that fits, 0 if not even one image does.

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


def _peak(case: Case, batch_size: int) -> Peak:
    recipe = dataclasses.replace(case.recipe, batch_size=batch_size)
    return plan(case.training(), case.image_size, recipe, case.rules)


def _needed(peak: Peak) -> int:
    return needed(allocator_peaks(peak).reserved)
