"""The words that records of runs were first written with, and those of today.

Records with the first words are read like any other, and the digest in a record's path is always taken over the first
words, so that a run is found by its path whichever words its record holds.
"""

from __future__ import annotations

from typing import Any

__all__ = ["RENAMED", "first_words", "todays_words"]

RENAMED = {  # fields of a recipe, as in methods/recipe.py
    "rate_per_images": "lr_batch_size",
    "per": "schedule_unit",
    "warmup_rate": "warmup_lr",
    "final_rate": "min_lr",
    "epsilon": "eps",
}
FIRST = {today: first for first, today in RENAMED.items()}


def todays_words(record: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON values of a record with today's word for each field of its recipe, in the order they had."""
    identity = record.get("identity")
    changes = identity.get("changes") if isinstance(identity, dict) else None
    renamed = dict(record)
    if isinstance(identity, dict) and isinstance(changes, dict):
        renamed["identity"] = identity | {"changes": _recipe_renamed(changes, RENAMED)}
    return _recipe_renamed(renamed, RENAMED)


def first_words(changes: dict[str, Any]) -> dict[str, Any]:
    """Return the changes of an identity with the first word for each field of its recipe."""
    return _recipe_renamed(changes, FIRST)


def _recipe_renamed(values: dict[str, Any], words: dict[str, str]) -> dict[str, Any]:
    recipe = values.get("recipe")
    if not isinstance(recipe, dict):
        return values
    return values | {"recipe": {words.get(key, key): value for key, value in recipe.items()}}
