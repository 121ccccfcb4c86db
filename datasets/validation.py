"""Gives the images that settings are chosen on: a part of the training images for tuning, others for calibration.

Tuning trains on one part and scores the other; test images stay unread. Where the source's lists have a validation
split, that one is scored: VTAB-1k's 800 and 200, the `val` lists of FGVC and of the few-shot sets. Elsewhere a share of
every class is drawn by a fixed seed (`Suite.validation`): a quarter of the embedded suite, a fifth of one's own folder
where it has no `val` beside `test`, one of sixteen shots for domain generalisation.
"""

import dataclasses
import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from datasets.base import Example, Source, Task
from datasets.files.listing import Listing, Listings

__all__ = ["for_calibration", "for_tuning"]

MOST_FOR_CALIBRATION = 1_000  # images that choose one number, the temperature
SEED = 0  # of the draw, the same for every method, so that all are tuned on the same images


def for_tuning(task: Task, share: float) -> Task:
    """Return the task whose `train` is the part that tuning trains on, and whose `test` is the validation part.

    Args:
        task: with its images found.
        share: of each class's training images that is scored where no list says which.

    Raises:
        ValueError: for a class with a single training image, which cannot be trained on and scored, and for a
            validation folder of one's own without some class.
    """
    parts: Mapping[str, _Part]
    if "val" in task.sizes:
        names = {"train": "train800" if "train800" in task.sizes else "train", "test": "val"}
        parts = {split: _Part(name) for split, name in names.items()}
        division = "its validation list" + (task.source.validation() if isinstance(task.source, Listings) else "")
    else:
        kept, scored = _divided(task, share)
        parts = {"train": _Part("train", kept), "test": _Part("train", scored)}
        division = f"{share:g} of each class"
    sizes = {split: part.size(task) for split, part in parts.items()}
    return dataclasses.replace(
        task,
        sizes=sizes,
        source=_source(task.source, parts),
        revision=_revision(task.revision, division),
        draws=tuple(for_tuning(draw, share) for draw in task.draws),
        split="val",
    )


def for_calibration(task: Task) -> Task | None:
    """Return the task with validation images alone, as its split `val`; None where a network has been trained on them.

    FGVC, the few-shot sets and a folder with `val` beside `test` have them beside the training images; at most 1,000 at
    equal distances are taken. VTAB-1k trains on its validation images; the embedded suite and other folders have none,
    nor has a folder whose `val` tuning refuses, since it shares files with the training images or lacks a class.
    """
    if "val" not in task.sizes or "train800" in task.sizes or not _sound(task.source):
        return None
    count = min(task.sizes["val"], MOST_FOR_CALIBRATION)
    return dataclasses.replace(task, sizes={"val": count}, source=_spaced(task.source, task.sizes["val"], count))


@lru_cache(maxsize=64)
def _sound(source: Source) -> bool:
    """Return whether tuning would score the validation images."""
    try:
        return not isinstance(source, Listings) or source.validation() is not None
    except ValueError:
        return False


@lru_cache(maxsize=64)  # so that runs that follow each other on a task share its decoded images
def _spaced(source: Source, size: int, count: int) -> Source:
    return _source(source, {"val": _Part("val", tuple(place * size // count for place in range(count)))})


@dataclass(frozen=True)
class _Part:
    """A split of the task under another name: all of its images, or those at some places."""

    name: str
    places: tuple[int, ...] | None = None

    def size(self, task: Task) -> int:
        return task.sizes[self.name] if self.places is None else len(self.places)

    def of(self, listing: Listing) -> Listing:
        if self.places is None:
            return listing
        chosen = frozenset(self.places)
        return listing.without([place for place in range(len(listing)) if place not in chosen])

    def among(self, examples: Iterable[Example]) -> Iterator[Example]:
        chosen = None if self.places is None else frozenset(self.places)
        yield from (example for place, example in enumerate(examples) if chosen is None or place in chosen)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A source that knows only the two parts; pictures that are drawn by the program are drawn anew."""

    source: Source
    parts: Mapping[str, _Part]

    def __call__(self, split: str) -> Iterator[Example]:
        part = self.parts[split]
        return part.among(self.source(part.name))


def _source(source: Source, parts: Mapping[str, _Part]) -> Source:
    if isinstance(source, Listings):
        return Listings({split: part.of(source(part.name)) for split, part in parts.items()})
    return _Drawn(source, parts)


def _divided(task: Task, share: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Divide the training images: places to train on and places to score, at least one of every class each."""
    by_class: defaultdict[int, list[int]] = defaultdict(list)
    for place, label in enumerate(_labels(task)):
        by_class[label].append(place)
    kept, scored = list[int](), list[int]()
    for label, places in sorted(by_class.items()):
        if len(places) < 2:
            name = task.names[label] if task.names else label
            raise ValueError(f"{task.name}: class {name} has one training image, and tuning needs two: one is scored")
        drawn = random.Random(f"{SEED} {label}").sample(places, len(places))
        count = min(len(places) - 1, max(1, round(len(places) * share)))
        scored += drawn[:count]
        kept += drawn[count:]
    return tuple(sorted(kept)), tuple(sorted(scored))


def _labels(task: Task) -> Sequence[int]:
    if isinstance(task.source, Listings):
        return task.source("train").labels
    return [label for _, label in task.source("train")]


def _revision(revision: str, division: str) -> str:
    """Another one than the task's own, so that nothing that is kept of one is taken for the other."""
    return hashlib.sha256(f"{revision} val {division} {SEED}".encode()).hexdigest()[:8] if revision else ""
