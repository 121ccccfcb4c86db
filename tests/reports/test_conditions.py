"""Captions say what was done to the images, and how many were left out."""

import dataclasses

from reports.tables.captions import conditions, preprocessing
from reports.tables.comparison import comparisons
from results import Record, frame

VPT = {
    "name": "vpt",
    "interpolation": "bilinear",
    "resize": "squash",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "decode": "any",
    "image_size": 224,
}
MIXING = {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1}
DTL = VPT | {"name": "dtl", "interpolation": "bicubic", "mean": [0.5] * 3, "std": [0.5] * 3, "decode": "jpeg75"}


def test_every_preset_in_use_is_described(make) -> None:
    runs = frame(dataclasses.replace(make(method), preprocessing=how) for method, how in (("lora", VPT), ("dtl", DTL)))
    assert preprocessing(runs) == (
        "Images as by dtl: jpeg75, squash to 224, bicubic, mean 0.5, std 0.5; "
        "vpt: as in the file, squash to 224, bilinear, mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225. "
    )
    (comparison,) = comparisons(runs)
    assert preprocessing(runs) in conditions(comparison)


def test_what_is_done_to_training_images_is_said(make) -> None:
    words = "random crop, flip 0.5"
    runs = frame([dataclasses.replace(make(), preprocessing=VPT | {"augmentation": words})])
    assert preprocessing(runs).endswith(f"std 0.229, 0.224, 0.225, training images instead by {words}. ")
    (comparison,) = comparisons(runs)
    assert words in conditions(comparison)


def test_records_that_do_not_say_are_not_guessed(make) -> None:
    assert preprocessing(frame([make()])) == ""


def test_images_that_were_left_out_are_counted(make) -> None:
    record = make("lora", "dtd")
    some = dataclasses.replace(record, score=dataclasses.replace(record.score, skipped_images={"test": 3}))
    (comparison,) = comparisons(frame([some, make("lora", "cifar")]))
    assert conditions(comparison).endswith("Left out, since they cannot be decoded: 3 of dtd (test).")
    (comparison,) = comparisons(frame([record]))
    assert "Left out" not in conditions(comparison)


def on(data: str, record: Record) -> Record:
    identity = dataclasses.replace(record.identity, changes=record.identity.changes | {"data": data})
    return dataclasses.replace(record, identity=identity)


def test_a_copy_is_named_where_there_are_several(make) -> None:
    """Seeds on one copy are a mean; what was run on another copy is another comparison."""
    records = [on("aa", make("lora", "dtd", seed)) for seed in (0, 1)] + [on("bb", make("dtl", "dtd"))]
    first, second = comparisons(frame([*records, on("cc", make("lora", "cifar"))]))
    assert [set(each.runs["line"]) for each in (first, second)] == [{"lora"}, {"dtl"}]
    assert "One of 2 copies of the images and labels, revision aa (dtd aa, cifar cc); " in conditions(first)
    assert conditions(second).endswith("stands apart and is not to be compared.")
    (comparison,) = comparisons(frame(records[:2]))
    assert "compared" not in conditions(comparison)
    assert comparison.name == "demo-vit_b16-common"


def test_a_cut_down_copy_says_so(make) -> None:
    records = [make("lora", task, suite="vtab") for task in ("cifar", "dtd", "eurosat", "resisc45", "clevr_count")]
    cut = [dataclasses.replace(record, understood="12 + 6 instead of 1,000 + 1,880") for record in records]
    (one,), (few,), (none,) = (comparisons(frame(known)) for known in (cut, [*cut[:1], *records[1:]], records))
    said = "Other numbers of training and test images than published: "
    assert f"{said}cifar (12 + 6 instead of 1,000 + 1,880), dtd (" in conditions(one)
    assert conditions(one).endswith(" and 2 more tasks.")
    assert conditions(few).endswith(f"{said}cifar (12 + 6 instead of 1,000 + 1,880).")
    assert said not in conditions(none)
    (alone,) = comparisons(frame(records[:1]))
    assert "(1 natural task)" in conditions(alone)
