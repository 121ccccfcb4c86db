"""FGVC: five fine-grained sets with the JSON splits of the VPT protocol (docs/protocols.md, 9).

A split file is one JSON object from path to class id; the ids of train become 0..C-1 in their order. Training is on
train.json; the val split is left to tuning and calibration. Images are cropped, flipped and normalised as in VPT.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

from datasets.base import MEAN_PER_CLASS, Suite, Task, elsewhere
from datasets.files.copies import folders_of, look_at
from datasets.files.layout import Layout, Look
from datasets.files.lists import Lines

__all__ = ["SUITE"]

ROWS = (  # name, classes, train, val, test; train and val of all but Flowers are the VPT authors' random 90/10
    ("cub", 200, 5_394, 600, 5_794),
    ("nabirds", 555, 21_536, 2_393, 24_633),
    ("oxford_flowers", 102, 1_020, 1_020, 6_149),
    ("stanford_dogs", 120, 10_800, 1_200, 8_580),
    ("stanford_cars", 196, 7_329, 815, 8_041),
)
ALIASES = MappingProxyType(  # other folder names in use; dashes and case are looked through
    {
        "cub": ("cub_200_2011", "cub200", "cub_200"),
        "oxford_flowers": ("oxfordflowers", "oxfordflower", "oxford_flowers102", "flowers102", "flowers"),
        "stanford_dogs": ("stanforddogs", "dogs"),
        "stanford_cars": ("stanfordcars", "standford_cars", "cars"),
    }
)
LAYOUT = Layout(
    "JSON splits",
    {"train": ("train.json",), "val": ("val.json",), "test": ("test.json",)},
    images=(".", "images", "Images", "jpg"),
)


def _look(task: Task, data: Path) -> Look:
    names = (task.name, *ALIASES.get(task.name, ()))
    look = look_at(folders_of(data, ("fgvc", "FGVC", "."), names), (LAYOUT,))
    if "train" not in look.splits:
        return look
    ids = sorted({label for _, label in look.splits["train"].entries})
    return dataclasses.replace(
        look, splits={split: _as_classes(split, lines, ids, task.classes) for split, lines in look.splits.items()}
    )


def _as_classes(split: str, lines: Lines, ids: Sequence[int], classes: int) -> Lines:
    """Give the places of class ids among those of train.json; an id that is not there, or is one too many, is wrong."""
    place = {label: index for index, label in enumerate(ids)}
    entries, problems = [], list(lines.problems)
    for name, label in lines.entries:
        if place.get(label, classes) < classes:
            entries.append((name, place[label]))
        else:
            why = f"one more than {classes} classes" if label in place else "not in train.json"
            problems.append(f"{split}.json: the class id {label} of {name} is {why}")
    return Lines(tuple(entries), tuple(problems))


SUITE = Suite(
    name="fgvc",
    title="FGVC: five fine-grained sets with VPT's splits; needs --data",
    groups=("fgvc",),
    tasks=tuple(
        Task(
            name,
            "fgvc",
            classes,
            {"train": train, "val": val, "test": test},
            elsewhere(name),
            metric=MEAN_PER_CLASS if name == "oxford_flowers" else (),
        )
        for name, classes, train, val, test in ROWS
    ),
    recipe="common",
    backbone="vit_base_patch16_224.orig_in21k",
    preprocessing="vpt_fgvc",
    look=_look,
)
