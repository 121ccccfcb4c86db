"""Which batch fits a card: the largest one whose planned peak, plus the margin, is within a budget."""

from __future__ import annotations

import dataclasses
import re

from bench.case import Case
from bench.errors import WrongCall
from bench.margin import needed
from bench.plan import plan

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
    recipe = dataclasses.replace(case.recipe, batch_size=batch_size)
    return needed(plan(case.training(), case.image_size, recipe, case.rules).total)


def largest_batch(case: Case, budget: int) -> int:
    """The largest batch that fits, 0 if not even one image does. The peak is nearly a line: guess, then bisect."""
    first, second = needed_by(case, 1), needed_by(case, SECOND)
    if first > budget:
        return 0
    slope = (second - first) / (SECOND - 1)
    fits, too_large = (SECOND, None) if second <= budget else (1, SECOND)
    guess = 1 + int((budget - first) / slope)
    while too_large is None or too_large - fits > 1:
        guess = max(guess, fits + 1) if too_large is None else min(max(guess, fits + 1), too_large - 1)
        room = budget - needed_by(case, guess)
        fits, too_large = (guess, too_large) if room >= 0 else (fits, guess)
        guess += int(room / slope) or (1 if room >= 0 else -1)
    return fits
