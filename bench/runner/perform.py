"""`perform`: claim a run, execute it and save its record, all in one process, so that large data never travels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import results
from bench.data.splits import mended
from bench.run import Run
from bench.runner.artifacts import lacks
from bench.runner.execute import execute
from bench.runner.stale import stale
from bench.settings import Execution
from bench.train.loop import Epoch
from datasets.transforms.preprocessing import PRESETS
from results import claims

__all__ = ["What", "lacking", "perform"]

What = Literal["done", "there", "held"]  # trained now; had a record already; another process is at it


def perform(
    run: Run, root: Path, how: Execution, watch: Callable[[Epoch], None], over: str = "", force: bool = False
) -> What:
    """Do the run unless it is there (`force`: all the same) or another process holds it.

    `over` is the token of a claim that has gone stale. What goes wrong is raised; the record is written whole or not.
    """
    path = results.path_of(root, run.identity())
    claim = claims.take(claims.claim_path(root, path), over)
    if claim is None:
        return "held"
    with claim:
        old = _sound(path)
        if not force and old and not lacking(run, old, root, how.keep.kinds, how.stale):
            return "there"
        record = execute(run, how, watch)
        if not claim.ours():
            return "held"  # this process stood still for so long that another began the run again
        if path.is_file() and (old is None or stale(run, old)):  # it can still be looked at
            results.set_aside(path, "damaged" if old is None else "stale")
        results.save(root, record)
        results.drop_unkept(root, record)
    return "done"


def lacking(
    run: Run, record: results.Record, root: Path, keep: frozenset[str], old: Literal["redo", "keep"] = "redo"
) -> str:
    """Why a run that has a record is to be done again, or nothing where it is not. A stale one may do (`old`)."""
    if old == "redo" and (reason := stale(run, record)):
        return reason
    if lacks(root, record, keep):
        return f"did not keep all of --keep {','.join(sorted(keep))}"
    if mended(run.task, record.score.skipped_images):
        return "left out damaged images, of which there are fewer or more now"
    augmentation = PRESETS[run.recipe.preprocessing].augmentation
    if record.preprocessing.get("augmentation") != (augmentation and augmentation.words):
        return "were trained on images that their preprocessing now augments otherwise"
    if record.preprocessing and record.preprocessing.get("rendering", "stored") != run.preset.rendering:
        return "were trained on pixels as stored, where images are now turned upright and laid over white"
    return ""


def _sound(path: Path) -> results.Record | None:
    """The record, where it is there and can be trusted."""
    try:
        return results.load(path) if path.is_file() else None
    except results.Damaged:
        return None
