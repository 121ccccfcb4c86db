"""Records made of the published numbers themselves, so that tables of them must be the papers' tables."""

from collections.abc import Iterator
from typing import Any

from results import Cost, Identity, Record, Score, Where, quoted

GROUPS = {
    "natural": ["cifar", "caltech101", "dtd", "oxford_flowers102", "oxford_iiit_pet", "svhn", "sun397"],
    "specialized": ["patch_camelyon", "eurosat", "resisc45", "diabetic_retinopathy"],
    "structured": [
        *("clevr_count", "clevr_dist", "dmlab", "kitti"),
        *("dsprites_loc", "dsprites_ori", "smallnorb_azi", "smallnorb_ele"),
    ],
}
CLASSES = [100, 102, 47, 102, 37, 10, 397, 2, 10, 45, 5, 8, 6, 6, 4, 16, 16, 18, 9]
TASKS = {
    task: (group, place) for place, (group, task) in enumerate((g, t) for g, tasks in GROUPS.items() for t in tasks)
}
RECIPE = {
    "epochs": 100,
    "batch_size": 64,
    "precision": "fp32",
    "attention": "fused",
    "preprocessing": "checkpoint",
    "reported": "last",
}
BACKBONE = "vit_base_patch16_224.orig_in21k"
WHERE = Where("2026-01-01", "abcdef0123", False, "python bench.py", "cpu", None, {"torch": "2.11.0"})


def record(
    method: str,
    task: str,
    accuracy: float | None,
    *,
    suite: str = "vtab",
    group: str = "natural",
    classes: int = 10,
    place: int = 0,
    seed: int = 0,
    best: float | None = None,
    backbone: str = BACKBONE,
    cost: Cost | None = None,
    data: str | None = None,
    recipe: dict[str, Any] | None = None,
    status: Any = "ok",
) -> Record:
    """A run, described by what matters to the test; the settings are those of the spec."""
    name, *settings = method.split(":")
    resolved = {key: value for key, _, value in (setting.partition("=") for setting in settings)}
    changes = {"data": data, "recipe": recipe} if data or recipe else {}
    return Record(
        Identity(backbone, method, suite, task, "paper", seed, changes),
        group, classes, {"name": name} | resolved, RECIPE | (recipe or {}), status, Score(accuracy, best),
        cost or Cost(), WHERE, None, place,
    )  # fmt: skip


def vtab(source: str, table: str, backbone: str = BACKBONE, *, best: bool = False, seed: int = 0) -> Iterator[Record]:
    """A run for every printed number of a table, in its order; `best` puts the number at the best epoch as well."""
    lines = quoted("vtab").query("source == @source and table == @table and quantity == 'accuracy'")
    for line in lines.to_dict("records"):
        group, place = TASKS[line["task"]]
        spec = ":".join(filter(None, (line["method"], line["setting"])))
        accuracy = float(line["value"]) / 100
        yield record(
            spec, line["task"], accuracy, group=group, place=place, classes=CLASSES[place], backbone=backbone,
            best=accuracy if best else None, seed=seed, cost=cost_of(spec, CLASSES[place]),
        )  # fmt: skip


def cost_of(spec: str, classes: int) -> Cost:
    """The true counts on ViT-B/16 of the methods whose count does not differ from task to task."""
    own = {
        "vpt_deep": 10 * 9216, "vpt_deep:tokens=300": 300 * 9216, "vqt": 9216, "vqt:tokens=300": 300 * 9216,
        "synqt": 2_632_045, "dtl": 36_864, "lora": 294_912, "linear": 0, "full": 85_798_656, "bitfit": 102_912,
        "lst": 2_376_492, "fact_tt": 61_440,
    }.get(spec)  # fmt: skip
    if own is None:
        return Cost()
    extra = 18_469 if spec.startswith("synqt") else 0
    head = 769 * classes
    return Cost(own + head, own, 85_798_656 + own + head, printed_extra=extra, planned_peak_bytes=2**31)
