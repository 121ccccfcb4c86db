"""Few-shot: five fine-grained sets with 1, 2, 4, 8 and 16 images a class, NOAH's lists (docs/protocols.md, 10).

A task is a set at a number of shots. The three lists that were drawn for it go with the seeds 0, 1 and 2 of a run, so
that `--seeds 0..2` is the published protocol. A group is a number of shots: its mean is the mean over the sets. The
lists of Pets with one shot have two lines a class, which may be one image twice; `data check` says so.
Training images are augmented and all are normalised as in NOAH, or as in DTL with `--preprocessing dtl_few_shot`
and for DTL under the recipe `paper`.
"""

from pathlib import Path
from types import MappingProxyType

from datasets.base import MEAN_PER_CLASS, Suite, Task, elsewhere
from datasets.files.copies import folders_of, look_at
from datasets.files.layout import Layout, Look

__all__ = ["FOLDERS", "IMAGES", "SHOTS", "SUITE", "lists"]

SHOTS = (1, 2, 4, 8, 16)
SEEDS = (0, 1, 2)
ROWS = (  # name, classes, val, test
    ("aircraft", 100, 3_333, 3_333),
    ("food101", 101, 20_200, 30_300),
    ("flowers102", 102, 1_633, 2_463),
    ("pets", 37, 736, 3_669),
    ("cars", 196, 1_635, 8_041),
)
ALIASES = MappingProxyType(  # other folder names in use; dashes and case are looked through
    {
        "aircraft": ("fgvc_aircraft",),
        "food101": ("food_101",),
        "flowers102": ("oxford_flowers102", "oxford_flowers"),
        "pets": ("oxford_pets",),
        "cars": ("standford_cars", "stanford_cars"),
    }
)
BY_CLASS = ("aircraft", "flowers102", "pets")  # the mean over classes is what other sources print
FOLDERS = ("few-shot", "few_shot", "fewshot", "data/few-shot", ".")
IMAGES = (
    ".",
    "images",
    "annotations",
    "train",
    "val",
    "images/train",
    "images/val",
    "jpg",
)  # the last is CoOp's Flowers
DEFECT = "pets-shots1", 74  # the published one-shot lists of Pets hold so many lines, two a class
NOTE = (
    "the published one-shot lists hold 74 lines for 37 classes: those of the seeds 0 and 1 name one image a class "
    "twice, so it is seen twice an epoch; a list that names two images a class is not one-shot"
)


def lists(shots: int) -> Layout:
    """Give the layout of a set: a training list a seed."""
    train = {f"train{seed}": (f"annotations/train_meta.list.num_shot_{shots}.seed_{seed}",) for seed in SEEDS}
    rest = {split: (f"annotations/{split}_meta.list",) for split in ("val", "test")}
    return Layout("NOAH's lists", train | rest, IMAGES)


def _look(task: Task, data: Path) -> Look:
    name, _, shots = task.name.partition("-shots")
    folders = folders_of(data, FOLDERS, (name, *ALIASES.get(name, ())))
    return look_at(folders, (lists(int(shots)),), tuple(f"train{seed}" for seed in SEEDS))


def _task(shots: int, name: str, classes: int, val: int, test: int) -> Task:
    task = f"{name}-shots{shots}"
    train = DEFECT[1] if task == DEFECT[0] else classes * shots
    note, known = (NOTE, ("repeated",)) if task == DEFECT[0] else ("", ())
    sizes = {"train": train, "val": val, "test": test}
    metric = MEAN_PER_CLASS if name in BY_CLASS else ()
    return Task(task, f"{shots}-shot", classes, sizes, elsewhere(task), note=note, known=known, metric=metric)


SUITE = Suite(
    name="few_shot",
    title="Few-shot: five sets at 1, 2, 4, 8 and 16 shots, lists of the seeds 0..2; needs --data",
    groups=tuple(f"{shots}-shot" for shots in SHOTS),
    tasks=tuple(_task(shots, *row) for shots in SHOTS for row in ROWS),
    recipe="common",
    backbone="vit_base_patch16_224.orig_in21k",
    preprocessing="noah_few_shot",
    look=_look,
)
