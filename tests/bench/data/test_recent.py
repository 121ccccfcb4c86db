"""A split is decoded once for the runs that follow each other on it."""

import dataclasses
from collections.abc import Iterator

import torch

from bench.data.recent import load, pixels_of
from bench.settings import Reading
from datasets import Task
from datasets.base import Example
from tests.bench.tiny import CLASSES, examples, run


def counted(calls: list[str], revision: str = "") -> Task:
    def source(split: str) -> Iterator[Example]:
        calls.append(split)
        return examples(split)

    return Task("colours", "natural", CLASSES, {"train": 12, "test": 10}, source, revision)


def test_runs_on_one_task_decode_it_once() -> None:
    calls: list[str] = []
    task = counted(calls)
    runs = [dataclasses.replace(run(method), task=task) for method in ("linear", "lora")]
    first, second = (load(asked, "train", Reading()) for asked in runs)
    assert first is second
    assert load(runs[0], "test", Reading()) is not first
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
    pixels = [load(asked, "train", Reading()).split.images for asked in (plain, other, newer)]
    assert len(calls) == 3
    assert not torch.equal(pixels[0], pixels[1])
