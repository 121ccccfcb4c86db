"""Domain generalisation: trained on ImageNet with 16 images a class, scored elsewhere (docs/protocols.md, 11).

Each target is a task of its own with the same training images, so a method is trained once a target, as the source with
a rate for each target does. Training images are augmented as in NOAH, or with `--preprocessing dtl_few_shot` as in DTL;
with `--preprocessing checkpoint` they are not, and a cache of features takes most of the repeated work away. The lists
of the seeds 0, 1 and 2 go with the seeds of a run. `domain:mask` chooses among the classes that the target has (A and R
have 200); published numbers choose among all 1,000.
"""

import dataclasses
from pathlib import Path
from types import MappingProxyType

from datasets.base import Suite, Task, elsewhere
from datasets.files.copies import folders_of, look_at
from datasets.files.layout import Layout, Look
from datasets.suites.few_shot import FOLDERS, IMAGES, lists

__all__ = ["SUITE"]

ROWS = (  # name, test images
    ("imagenet", 50_000),
    ("imagenet_v2", 10_000),
    ("imagenet_sketch", 50_889),
    ("imagenet_a", 7_500),
    ("imagenet_r", 30_000),
)
ALIASES = MappingProxyType(  # other folder names in use; dashes and case are looked through
    {
        "imagenet": ("imagenet1k", "imagenet_1k"),
        "imagenet_v2": ("imagenetv2", "imagenetv2_matched_frequency"),
        "imagenet_sketch": ("imagenetsketch", "sketch"),
        "imagenet_a": ("imageneta", "imagenet_adversarial"),
        "imagenet_r": ("imagenetr", "imagenet_rendition"),
    }
)
PARENTS = (*FOLDERS, "domain-generalization", "domain_generalization", "data/domain-generalization", "domain")
TRAIN = {split: files for split, files in lists(16).lists.items() if split.startswith("train")}
SOURCE = Layout("NOAH's lists", {**TRAIN, "test": ("annotations/val_meta.list",)}, IMAGES)
TARGET = Layout("NOAH's lists", {"test": ("annotations/val_meta.list",)}, IMAGES)


def _look(task: Task, data: Path) -> Look:
    source = look_at(_folders("imagenet", data), (SOURCE,), tuple(TRAIN))
    if task.name == "imagenet":
        return source
    target = look_at(_folders(task.name, data), (TARGET,), ())
    training = {split: lines for split, lines in source.splits.items() if split in TRAIN}
    images = {split: source.images[split] for split in training}
    missing = tuple(f"imagenet/{name}" for split in TRAIN if split not in training for name in TRAIN[split])
    return dataclasses.replace(
        target,
        splits={**training, **target.splits},
        images={**images, **target.images},
        missing=(*missing, *target.missing),
        training=tuple(TRAIN),
    )


def _folders(name: str, data: Path) -> list[Path]:
    return folders_of(data, PARENTS, (name, *ALIASES[name]))


def _masked(options: str) -> Suite:
    if options != "mask":
        raise ValueError(f"suite domain has no option {options!r}; known: mask")
    return dataclasses.replace(
        SUITE,
        name="domain:mask",
        title="Domain generalisation, answers among the classes of the target; needs --data",
        tasks=tuple(dataclasses.replace(task, masked=True) for task in SUITE.tasks),
    )


SUITE = Suite(
    name="domain",
    title="Domain generalisation: 16-shot ImageNet to V2, Sketch, A and R; domain:mask as an option; needs --data",
    groups=("domain",),
    tasks=tuple(Task(name, "domain", 1000, {"train": 16_000, "test": test}, elsewhere(name)) for name, test in ROWS),
    recipe="common",
    backbone="vit_base_patch16_224.orig_in21k",
    preprocessing="noah_few_shot",
    look=_look,
    validation=1 / 16,
    vary=_masked,
)
