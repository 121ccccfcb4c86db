"""Tuning sees the training images alone, divided the same way each time, with every class in both parts."""

import os
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import datasets
from datasets.base import Task
from datasets.files.listing import Listings
from datasets.validation import for_calibration, for_tuning


def labels(task: Task, split: str) -> list[int]:
    return [label for _, label in task.examples(split)]


@pytest.mark.parametrize("task", datasets.SUITES["demo"].tasks[:2], ids=lambda task: task.name)
def test_a_quarter_of_the_embedded_suite(task: Task) -> None:
    divided = for_tuning(task, 0.25)
    train, scored = (Counter(labels(divided, split)) for split in ("train", "test"))
    assert train + scored == Counter(labels(task, "train"))
    assert sum(scored.values()) == pytest.approx(100, abs=task.classes / 2)
    assert train.keys() == scored.keys() == set(range(task.classes))
    again = [image.tobytes() for image, _ in for_tuning(task, 0.25).examples("test")]
    assert again == [image.tobytes() for image, _ in divided.examples("test")]
    assert divided.split == "val"
    assert divided != task


def folder(root: Path, **counts: int) -> Task:
    """A folder of so many images a class, each of a colour of its own."""
    for label, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8), (label, number, 0)).save(root / name / f"{number}.png")
    (task,) = datasets.suite(f"folder:{root}").tasks
    return task


def test_a_fifth_of_ones_own_images_and_never_a_test_image(tmp_path: Path) -> None:
    task = folder(tmp_path / "own", cat=25, dog=50)
    divided = for_tuning(task, 0.2)
    assert isinstance(divided.source, Listings)
    parts = {split: set(divided.source(split).names) for split in ("train", "test")}
    assert isinstance(task.source, Listings)
    assert parts["train"] | parts["test"] == set(task.source("train").names)
    assert not parts["train"] & parts["test"]
    assert Counter(divided.source("test").labels) == {0: 4, 1: 8}
    assert not (parts["train"] | parts["test"]) & set(task.source("test").names)
    assert divided.revision not in ("", task.revision)


def test_lists_of_the_source_are_taken_where_there_are_any() -> None:
    asked = []

    def source(split: str) -> list[tuple[Image.Image, int]]:
        asked.append(split)
        return [(Image.new("RGB", (8, 8)), 0)] * sizes[split]

    sizes = {"train": 10, "train800": 8, "val": 2, "test": 100}
    divided = for_tuning(Task("t", "g", 1, sizes, source), 0.2)
    assert divided.sizes == {"train": 8, "test": 2}
    assert (len(labels(divided, "train")), len(labels(divided, "test"))) == (8, 2)
    assert asked == ["train800", "val"]


def test_a_class_of_one_image_cannot_be_divided() -> None:
    images = [(Image.new("RGB", (8, 8)), label) for label in (0, 0, 1)]
    task = Task("t", "g", 2, {"train": 3, "test": 1}, lambda _: images, names=("cat", "dog"))
    with pytest.raises(ValueError, match="t: class dog has one training image, and tuning needs two"):
        for_tuning(task, 0.2)


@pytest.mark.parametrize("shared", [False, True])
def test_no_temperature_is_chosen_on_images_that_were_trained_on(tmp_path: Path, shared: bool) -> None:
    for part in ("train", "test", "val"):
        for label, name in enumerate(("cat", "dog")):
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(2):
                if shared and part == "val":
                    os.link(tmp_path / "train" / name / f"{number}.png", tmp_path / part / name / f"{number}.png")
                else:
                    Image.new("RGB", (8, 8), (label, number, len(part))).save(tmp_path / part / name / f"{number}.png")
    (task,) = datasets.suite(f"folder:{tmp_path}").tasks
    assert task.sizes["val"] == 4
    assert (for_calibration(task) is None) == shared
