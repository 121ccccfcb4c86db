"""Anyone's own images: `folder:PATH`, with the images of each class in a folder of its name.

PATH holds train/ and test/ (or val/, which is then scored), each with the class folders, or the class folders
themselves; those are split by `seed`, a fifth of each class for the test. `shots=10` trains on ten images a class.
Files that are no images are left out, which is said once (datasets/class_folders.py).
"""

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.base import Suite, Task
from datasets.class_folders import Classes, classes_of, parts_of
from datasets.copies import Look, located
from datasets.elsewhere import elsewhere
from datasets.lists import Entry, Lines

__all__ = ["SUITE"]

HOW = "folder:PATH[:shots=10][:seed=0], PATH with train/CLASS/…, test/CLASS/… or with CLASS/…"
TEST_SHARE = 5  # one image in so many is scored where the folder is not split


@dataclass(frozen=True)
class Wanted:
    """A folder and its options, as they stand behind the name of the suite."""

    path: Path
    shots: int | None = None
    seed: int = 0

    def label(self) -> str:
        """Give the name of the task, which says how the images were drawn."""
        options = {"shots": self.shots, "seed": self.seed}
        return self.path.resolve().name + "".join(f"-{name}{value}" for name, value in options.items() if value)


def _parsed(options: str) -> Wanted:
    """Options are read from the right, since a path may hold colons."""
    path, numbers = options, dict[str, int]()
    while ":" in path and (word := path.rpartition(":")[2]).partition("=")[0] in ("shots", "seed"):
        name, _, value = word.partition("=")
        if not value.isdecimal() or (name == "shots" and int(value) < 1):
            raise ValueError(f"suite folder: {word!r} is no whole number; write {HOW}")
        path, numbers[name] = path.rpartition(":")[0], int(value)
    if not path:
        raise ValueError(f"suite folder needs a path; write {HOW}")
    return Wanted(Path(path).expanduser(), numbers.get("shots"), numbers.get("seed", 0))


def _suite(options: str) -> Suite:
    wanted = _parsed(options)
    if not wanted.path.is_dir():
        raise ValueError(f"suite folder: there is no folder {wanted.path}; write {HOW}")
    splits = _splits(wanted)
    names = sorted(splits["train"])
    _check(wanted, splits, names)
    lines = {split: Lines(tuple(_entries(classes, names))) for split, classes in splits.items()}
    look = Look(wanted.path, "class folders", lines, dict.fromkeys(lines, wanted.path), names=tuple(names))
    label = wanted.label()
    sizes = {split: len(part.entries) for split, part in lines.items()}
    task = located(Task(label, "own", len(names), sizes, elsewhere(label), viewed=True), look)
    return dataclasses.replace(
        SUITE,
        title=f"Your own images: {len(names)} classes",
        groups=("own",),
        tasks=(task,),
        look=lambda known, data: look,
    )


def _splits(wanted: Wanted) -> dict[str, Classes]:
    """The classes of train and test, by looking at how the folder is laid out."""
    parts = parts_of(wanted.path)
    if "train" in parts and len(parts) > 1:
        test = next(part for part in ("test", "val") if part in parts)
        found = {"train": classes_of(wanted.path, parts["train"]), "test": classes_of(wanted.path, parts[test])}
    else:
        found = _divided(classes_of(wanted.path, parts.get("train", wanted.path)), wanted.seed)
    if wanted.shots:
        found["train"] = _few(found["train"], wanted.shots, wanted.seed)
    return found


def _shuffled(name: str, images: Sequence[str], seed: int) -> list[str]:
    drawn_by = f"{seed} {name}".encode(errors="surrogateescape")  # a name may be no UTF-8
    return random.Random(drawn_by).sample(images, len(images))


def _divided(classes: Classes, seed: int) -> dict[str, Classes]:
    orders = {name: _shuffled(name, images, seed) for name, images in classes.items()}
    return {
        "train": {name: sorted(order[max(1, len(order) // TEST_SHARE) :]) for name, order in orders.items()},
        "test": {name: sorted(order[: max(1, len(order) // TEST_SHARE)]) for name, order in orders.items()},
    }


def _few(classes: Classes, shots: int, seed: int) -> Classes:
    for name, images in classes.items():
        if len(images) < shots:
            there = len(images)
            raise ValueError(f"suite folder: class {name!r} has {there} training images, fewer than shots={shots}")
    return {name: sorted(_shuffled(name, images, seed)[:shots]) for name, images in classes.items()}


def _check(wanted: Wanted, splits: Mapping[str, Classes], names: Sequence[str]) -> None:
    if len(names) < 2 or not splits["test"]:
        raise ValueError(f"suite folder: {wanted.path} has no two folders with images; write {HOW}")
    if unknown := sorted(splits["test"].keys() - set(names)):
        raise ValueError(f"suite folder: class {unknown[0]!r} is scored but has no training images in {wanted.path}")
    if empty := [name for name in names if not splits["train"][name]]:
        raise ValueError(f"suite folder: class {empty[0]!r} has but one image, and needs two")


def _entries(classes: Classes, names: Sequence[str]) -> list[Entry]:
    return [(image, label) for label, name in enumerate(names) for image in classes.get(name, ())]


SUITE = Suite(
    name="folder",
    title=f"Your own images: {HOW}",
    groups=(),
    tasks=(),
    recipe="common",
    backbone="vit_base_patch16_224.orig_in21k",
    vary=_suite,
)
