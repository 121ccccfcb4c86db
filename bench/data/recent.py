"""The splits that were decoded last, for the runs that follow each other on a task."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache

from bench.data.shelf import Shelf
from bench.data.splits import Loaded, load_split, whole
from bench.run import Run
from bench.settings import Reading
from datasets.base import Split
from datasets.transforms.preprocessing import PIXELS

__all__ = ["load", "pixels_of"]

LIMIT = 2 * 2**30  # bytes of decoded images kept in memory


def load(run: Run, split: str, how: Reading, in_memory: bool = False) -> Loaded:
    """Images and labels as the run's recipe wants them; what is not in memory is decoded as it is read."""
    key, kept = (pixels_of(run, split), run.task.source, how.on_bad_image), _shelf()
    found = kept.get(key)
    if found is None:
        found = load_split(run.task, split, run.preset, run.backbone.image_size, how)
        found = Loaded(whole(found.split), found.skipped) if in_memory else found
        if isinstance(found.split, Split) and kept.make_room(found.split.images.nbytes):
            kept.put(key, found, found.split.images.nbytes)
    return found


def pixels_of(run: Run, split: str) -> tuple[Hashable, ...]:
    """What decides every pixel of a split, apart from a source that changes without a new revision."""
    task = run.task
    data = run.suite, task.name, task.revision, task.draw, tuple(sorted(task.sizes.items()))
    return *data, split, run.preset, PIXELS, run.backbone.image_size


@cache
def _shelf() -> Shelf[Loaded]:
    return Shelf(LIMIT)
