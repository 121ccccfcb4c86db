"""A split is decoded once for the runs that follow each other on it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bench.data.loader import Streamed
from bench.data.splits import load, load_split, pixels_of
from bench.settings import LoaderSettings
from datasets import PRESETS, Task, locate, suite
from datasets.base import Example
from tests.bench.tiny import CLASSES, examples, run
from tests.datasets.made import json_task


def counted(calls: list[str], revision: str = "") -> Task:
    def source(split: str) -> Iterator[Example]:
        calls.append(split)
        return examples(split)

    return Task("colours", "natural", CLASSES, {"train": 12, "test": 10}, source, revision)


def test_runs_on_one_task_decode_it_once() -> None:
    calls: list[str] = []
    task = counted(calls)
    runs = [dataclasses.replace(run(method), task=task) for method in ("linear", "lora")]
    first, second = (load(asked, "train", LoaderSettings()) for asked in runs)
    assert first is second
    assert load(runs[0], "test", LoaderSettings()) is not first
    assert calls == ["train", "test"]


def test_lists_drawn_for_two_seeds_are_two_splits_of_one_revision() -> None:
    """A table takes the seeds together; and yet no seed trains on another's images."""
    task = counted([], "1")
    other = dataclasses.replace(task, draw=1)
    drawn = dataclasses.replace(task, draws=(task, other))
    first, second = (dataclasses.replace(run(), task=drawn.drawn(seed)) for seed in (0, 1))
    assert first.identity().changes == second.identity().changes
    assert pixels_of(first, "train") != pixels_of(second, "train")


def test_what_changes_the_pixels_is_another_split() -> None:
    calls: list[str] = []
    task = counted(calls)
    plain = dataclasses.replace(run(), task=task)
    other = dataclasses.replace(run(preprocessing="dtl"), task=task)
    newer = dataclasses.replace(run(), task=dataclasses.replace(task, revision="2"))
    pixels = [load(asked, "train", LoaderSettings()).split.images for asked in (plain, other, newer)]
    assert len(calls) == 3
    assert not torch.equal(pixels[0], pixels[1])


VTAB = suite("vtab")
DTD = next(task for task in VTAB.tasks if task.name == "dtd")
PRESET = PRESETS["synqt"]
SKIP = LoaderSettings(workers=0, on_bad_image="skip")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task whose files may be damaged."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "seen"))
    json_task(tmp_path / "dtd", DTD, train=4, test=20)
    return locate(VTAB, [DTD], tmp_path)[0]


def test_a_small_split_is_in_memory_and_a_large_one_is_not(own: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    small = load_split(own, "test", PRESET, 24, SKIP).split
    monkeypatch.setattr("bench.data.splits.IN_MEMORY_BYTES", 1000)
    large = load_split(own, "test", PRESET, 24, SKIP).split
    assert (isinstance(small, Streamed), isinstance(large, Streamed)) == (False, True)


def test_what_was_used_longest_ago_is_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    task = counted(calls)
    monkeypatch.setattr("bench.data.splits.RECENT_BYTES", 22 * 3 * 32 * 32)  # a training and a test split
    first, other = (dataclasses.replace(run(preprocessing=name), task=task) for name in ("checkpoint", "dtl"))
    for asked, split in ((first, "train"), (first, "test"), (first, "train"), (other, "test"), (first, "train")):
        load(asked, split, LoaderSettings())
    assert calls == ["train", "test", "test"]
    load(first, "test", LoaderSettings())
    assert calls == ["train", "test", "test", "test"]


def test_bad_images_are_skipped_and_counted_when_asked(own: Task, tmp_path: Path) -> None:
    whole = own.load("test", PRESET, 16)
    (tmp_path / "dtd/images/test/000003.png").write_bytes(b"")
    (tmp_path / "dtd/images/test/000005.png").unlink()
    loaded = load_split(own, "test", PRESET, 16, SKIP)
    left = [index for index in range(20) if index not in (3, 5)]
    assert loaded.skipped == 2
    assert torch.equal(loaded.split.labels, whole.labels[left])
    assert torch.equal(loaded.split.images, whole.images[left])  # type: ignore[union-attr]


def test_without_a_sound_image_there_is_nothing_to_score(own: Task, tmp_path: Path) -> None:
    for path in (tmp_path / "dtd/images/test").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of 20 images"):
        load_split(own, "test", PRESET, 16, SKIP)
