"""Decides whether a record is still what its run would give: same settings, recipe, preprocessing and method code.

The path of a record holds only what differs from the defaults, so that a new setting does not orphan old records. The
price is that a default or a line of code that changes leaves the path as it was: that is found here.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from bench.data.splits import mended
from bench.run import Run
from bench.runner.record import described
from bench.settings import RunSettings
from bench.source_digest import method_digest, planning_digest
from datasets.transforms.preprocessing import PRESETS
from methods.recipe import Recipe
from methods.spec import parse
from results import CostRecord, Record, has_kept

__all__ = ["EQUAL_CODE", "current", "equal_codes", "lacking", "stale"]

EQUAL_CODE = Path(__file__).with_name("equal_code.csv")  # written by `python -m tools.equal_code`


def lacking(run: Run, record: Record, root: Path, settings: RunSettings) -> str:
    """Return why a run that has a record below `root` is to be done again, or nothing where it is not."""
    if settings.stale == "redo" and (reason := stale(run, record)):
        return reason
    keep = settings.keep.kinds
    if record.status == "ok" and not all(has_kept(root, record, kind) for kind in keep):
        return f"did not keep all of --keep {','.join(sorted(keep))}"
    if mended(run.task, record.score.skipped_images):
        return "left out damaged images, of which there are fewer or more now"
    augmentation = PRESETS[run.recipe.preprocessing].augmentation
    if record.preprocessing.get("augmentation") != (augmentation and augmentation.words):
        return "were trained on images that their preprocessing now augments otherwise"
    if record.preprocessing and record.preprocessing.get("rendering", "stored") != run.preset.rendering:
        return "were trained on pixels as stored, where images are now turned upright and laid over white"
    return ""


def stale(run: Run, record: Record) -> str:
    """Return why the record is not that of the run as it is today, as the end of "they …"; empty where it is.

    A field that the record does not know counts as its default was then; records of before digests were kept have none
    and are compared by their settings alone.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(run.resolved)}
    pairs: tuple[tuple[str, Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]], ...] = (
        ("", record.method, run.settings(), defaults),
        ("recipe: ", record.recipe, dataclasses.asdict(run.recipe), dataclasses.asdict(Recipe())),
        ("preprocessing: ", record.preprocessing, described(run), {}),
    )
    for word, then, now, absent in pairs:
        if changes := _changes(then, json.loads(json.dumps(now)), absent):
            return f"had {word}{', '.join(changes)}"
    if record.method_code and not _same_code(run.method.name, record.method_code):
        return "were made by other code of their method"
    return ""


@cache
def equal_codes() -> frozenset[tuple[str, str, str]]:
    """Return (method, digest then, digest now) of code that was rewritten and gives the same numbers."""
    if not EQUAL_CODE.is_file():
        return frozenset()
    with EQUAL_CODE.open(newline="", encoding="utf-8") as file:
        return frozenset((row["method"], row["before"], row["today"]) for row in csv.DictReader(file))


def _same_code(method: str, then: str) -> bool:
    """Return whether the code of then is today's, or was rewritten to it in steps that gave the same numbers."""
    now, reached, left = method_digest(method), set[str](), [then]
    while left:
        code = left.pop()
        if code == now:
            return True
        reached.add(code)
        left += [today for name, before, today in equal_codes() if name == method and before == code]
        left = [each for each in left if each not in reached]
    return False


def current(record: CostRecord) -> bool:
    """Return whether today's code would give this record of costs; one without a digest is judged by settings."""
    try:
        (method,) = parse(record.conditions.method)
    except ValueError:  # no such method or setting any more
        return False
    same = not _changes(record.settings, dataclasses.asdict(method), {})
    return same and record.code in ("", planning_digest(method.name))


def _changes(then: Mapping[str, Any], now: Mapping[str, Any], absent: Mapping[str, Any]) -> list[str]:
    """Fields that differ, as "rank=8 (now 2)"; what only one side knows differs from the default or not at all."""
    found = []
    for key, value in now.items():
        old = then.get(key, absent.get(key, value))
        if old != value and key != "augmentation":  # which has a sentence of its own (`lacking`)
            found.append(f"{key}={old} (now {value})")
    return found
