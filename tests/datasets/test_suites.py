"""What every suite owes; a new suite joins by itself. Only the embedded one is asked for its data."""

import hashlib
import subprocess
import sys

import pytest
import torch

from datasets import PRESETS, SUITES, Suite, Task, suite

EMBEDDED = ("demo",)
TASKS = [pytest.param(task, id=f"{name}-{task.name}") for name in EMBEDDED for task in SUITES[name].tasks]


@pytest.fixture(params=sorted(SUITES))
def each(request: pytest.FixtureRequest) -> Suite:
    return SUITES[request.param]


def load(task: Task, split: str, size: int = 32):
    return task.load(split, PRESETS["checkpoint"], size)


def hashes(images: torch.Tensor) -> set[bytes]:
    return {image.numpy().tobytes() for image in images}


def test_a_suite_is_well_formed(each: Suite) -> None:
    assert suite(each.name) is each
    assert each.title
    assert each.recipe
    assert each.backbone
    assert len({task.name for task in each.tasks}) == len(each.tasks)
    assert {task.group for task in each.tasks} == set(each.groups)
    order = [each.groups.index(task.group) for task in each.tasks]
    assert order == sorted(order), "tasks stand in the order of their groups"


def test_a_task_states_its_sizes(each: Suite) -> None:
    for task in each.tasks:
        assert task.classes >= 2
        assert {"train", "test"} <= set(task.sizes)
        assert all(size > 0 for size in task.sizes.values())


def test_the_demo_has_two_small_tasks_in_each_group() -> None:
    demo = suite("demo")
    assert [task.group for task in demo.tasks] == [group for group in demo.groups for _ in range(2)]
    assert all(200 <= task.sizes["train"] <= 1000 <= task.sizes["test"] for task in demo.tasks)


@pytest.mark.parametrize("task", TASKS)
def test_splits_are_what_the_task_says(task: Task) -> None:
    for split, size in task.sizes.items():
        loaded = load(task, split)
        assert len(loaded) == size
        assert loaded.images.shape == (size, 3, 32, 32)
        assert loaded.images.dtype == torch.uint8
        assert loaded.labels.dtype == torch.int64
        assert loaded.labels.unique().tolist() == list(range(task.classes))


@pytest.mark.parametrize("task", TASKS)
def test_no_image_is_in_two_splits(task: Task) -> None:
    train, test = (hashes(load(task, split).images) for split in ("train", "test"))
    assert not train & test


@pytest.mark.parametrize("task", TASKS)
def test_images_differ_and_use_their_range(task: Task) -> None:
    images = load(task, "train").images
    assert len(hashes(images)) == len(images)
    assert images.float().std() > 20


@pytest.mark.parametrize("task", TASKS)
def test_another_size_is_the_same_split_resized(task: Task) -> None:
    small, large = load(task, "train", 32), load(task, "train", 48)
    assert large.images.shape[-2:] == (48, 48)
    assert torch.equal(small.labels, large.labels)


def test_another_process_draws_the_same() -> None:
    program = (
        "import hashlib; from datasets import PRESETS, suite\n"
        "tasks = suite('demo').tasks\n"
        "splits = [task.load(split, PRESETS['checkpoint'], 32) for task in tasks for split in task.sizes]\n"
        "assert 'sklearn' in __import__('sys').modules\n"
        "data = b''.join(part.numpy().tobytes() for split in splits for part in (split.images, split.labels))\n"
        "import sys; sys.stdout.write(hashlib.sha256(data).hexdigest())"
    )
    splits = [load(task, split) for task in suite("demo").tasks for split in task.sizes]
    data = b"".join(part.numpy().tobytes() for split in splits for part in (split.images, split.labels))
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == hashlib.sha256(data).hexdigest()


def test_importing_draws_nothing() -> None:
    program = "import sys, datasets; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unknown_split_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no split 'valid'; known: train, test"):
        load(suite("demo").tasks[0], "valid")


def test_an_unknown_suite_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"no suite 'dmeo'; known: "):
        suite("dmeo")


# For train and test: mean of the pixels, mean of the pixels weighted by their place, sum of labels times place. They
# stand for a data revision of the embedded suite: who changes its images gives its tasks a revision, since old records
# no longer compare. Not a digest, since processors differ in the last bit of a sine.
DRAWN = {
    "digits": (79.007, 39.463, 348870, 78.526, 39.217, 2296295),
    "photos": (120.371, 58.839, 365840, 115.065, 56.740, 2244307),
    "textures": (128.219, 63.855, 367100, 127.118, 63.601, 2273794),
    "cells": (204.091, 101.927, 280406, 203.990, 101.725, 1703436),
    "count": (129.391, 64.166, 199085, 125.697, 62.873, 1254220),
    "orientation": (123.928, 62.643, 271217, 128.191, 64.600, 1741266),
}


@pytest.mark.parametrize("task", TASKS)
def test_the_embedded_images_are_those_that_records_were_made_with(task: Task) -> None:
    seen: list[float] = []
    for split in ("train", "test"):
        loaded = load(task, split)
        pixels, one = loaded.images.double(), loaded.images[0]
        place = torch.linspace(0, 1, one.numel(), dtype=torch.float64).view(one.shape)
        seen += [pixels.mean().item(), (pixels * place).mean().item()]
        seen.append((loaded.labels * torch.arange(len(loaded))).sum().item())
    assert seen == pytest.approx(DRAWN[task.name], abs=2e-3)
