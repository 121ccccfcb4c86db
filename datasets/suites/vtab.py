"""VTAB-1k: nineteen tasks with 1,000 training images each, from the copies that circulate (docs/protocols.md).

A copy is a folder a task with the text lists of NOAH's export (JPEG), or with the JSON lists of SynQT's (PNG).
"""

from pathlib import Path
from types import MappingProxyType

from datasets.base import MEAN_PER_CLASS, Suite, Task, elsewhere
from datasets.files.copies import folders_of, look_at
from datasets.files.layout import Layout, Look

__all__ = ["ALIASES", "LAYOUTS", "SUITE"]

ROWS = (  # folder name of the image export, group, classes, test images
    ("cifar", "natural", 100, 10_000),
    ("caltech101", "natural", 102, 6_084),
    ("dtd", "natural", 47, 1_880),
    ("oxford_flowers102", "natural", 102, 6_149),
    ("oxford_iiit_pet", "natural", 37, 3_669),
    ("svhn", "natural", 10, 26_032),
    ("sun397", "natural", 397, 21_750),
    ("patch_camelyon", "specialized", 2, 32_768),
    ("eurosat", "specialized", 10, 5_400),
    ("resisc45", "specialized", 45, 6_300),
    ("diabetic_retinopathy", "specialized", 5, 42_670),
    ("clevr_count", "structured", 8, 15_000),
    ("clevr_dist", "structured", 6, 15_000),
    ("dmlab", "structured", 6, 22_735),
    ("kitti", "structured", 4, 711),
    ("dsprites_loc", "structured", 16, 73_728),
    ("dsprites_ori", "structured", 16, 73_728),
    ("smallnorb_azi", "structured", 18, 12_150),
    ("smallnorb_ele", "structured", 9, 12_150),
)
ALIASES = MappingProxyType(  # other folder names in use; dashes and case are looked through
    {
        "cifar": ("cifar100", "cifar_100"),
        "caltech101": ("caltech",),
        "oxford_flowers102": ("flowers102", "oxford_flowers", "flowers"),
        "oxford_iiit_pet": ("oxford_pet", "oxford_pets", "pets", "pet"),
        "patch_camelyon": ("camelyon", "pcam"),
        "diabetic_retinopathy": ("retinopathy",),
        "clevr_dist": ("clevr_distance",),
        "kitti": ("kitti_distance", "kitti_dist"),
        "dsprites_loc": ("dsprites_location", "dsprites_position"),
        "dsprites_ori": ("dsprites_orientation",),
        "smallnorb_azi": ("smallnorb_azimuth",),
        "smallnorb_ele": ("smallnorb_elevation",),
    }
)
BY_CLASS = ("caltech101", "oxford_flowers102", "oxford_iiit_pet")  # the mean over classes is what other sources print
FOLDERS = (".", "vtab", "vtab-1k", "vtab1k", "vtab-1k-png")


def _lists(ending: str, train: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """`train` is what the protocol trains on; 800 and 200 are its two parts, for tuning."""
    names = {"train": train, "train800": ("train800",), "val": ("val200",), "test": ("test",)}
    return {split: tuple(f"{name}{ending}" for name in files) for split, files in names.items()}


LAYOUTS = tuple(
    Layout(f"{name}{how}", _lists(ending, train))
    for how, train in (("", ("train800val200",)), (", 800 and 200 joined", ("train800", "val200")))
    for name, ending in (("text lists", ".txt"), ("JSON lists", ".json"))
)
KNOWN = MappingProxyType(
    dict.fromkeys(("dsprites_loc", "dsprites_ori"), ("duplicate",))
)  # turned by 0 and by 360 degrees
SIZES = MappingProxyType({"train": 1_000, "train800": 800, "val": 200})


def _look(task: Task, data: Path) -> Look:
    return look_at(folders_of(data, FOLDERS, (task.name, *ALIASES.get(task.name, ()))), LAYOUTS)


SUITE = Suite(
    name="vtab",
    title="VTAB-1k: nineteen tasks with 1,000 training images; needs --data",
    groups=("natural", "specialized", "structured"),
    tasks=tuple(
        Task(
            name,
            group,
            classes,
            {**SIZES, "test": test},
            elsewhere(name),
            known=KNOWN.get(name, ()),
            metric=MEAN_PER_CLASS if name in BY_CLASS else (),
        )
        for name, group, classes, test in ROWS
    ),
    recipe="paper",
    backbone="vit_base_patch16_224.orig_in21k",
    look=_look,
)
