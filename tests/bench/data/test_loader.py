"""Images that worker processes decode ahead are those that are decoded here, and a bad one is named."""

import dataclasses
from pathlib import Path

import pytest
import torch
from PIL import Image

import bench.data.loader
from bench.data.batches import batches, picked
from bench.data.loader import Streamed
from bench.data.splits import load_split
from bench.settings import LoaderSettings
from datasets import PRESETS, Task, locate, suite
from datasets.transforms.decoding import BadImage
from tests.datasets.made import json_task

CPU = torch.device("cpu")
VTAB = suite("vtab")
DTD = next(task for task in VTAB.tasks if task.name == "dtd")
PRESET = PRESETS["synqt"]
COUNT = 75  # of the test split: no multiple of a batch or of its parts, and some for each of two workers


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    folder = tmp_path_factory.mktemp("data")
    json_task(folder / "dtd", DTD, train=20, test=COUNT)
    return locate(VTAB, [DTD], folder)[0]


@pytest.fixture
def own(tmp_path: Path) -> Task:
    """A task whose files may be damaged."""
    json_task(tmp_path / "dtd", DTD, train=4, test=COUNT)
    return locate(VTAB, [DTD], tmp_path)[0]


def stream(task: Task, workers: int = 0) -> Streamed:
    return Streamed(task.source("test"), PRESET, 24, workers)  # type: ignore[arg-type]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("batch_size", [7, 16, 20, 256])
def test_what_comes_is_what_the_task_holds(task: Task, workers: int, batch_size: int) -> None:
    parts = list(stream(task, workers).batches(batch_size))
    images, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    whole = task.load("test", PRESET, 24)
    assert [len(some) for some, _ in parts[:-1]] == [batch_size] * (COUNT // batch_size)
    assert torch.equal(images, whole.images)
    assert torch.equal(labels, whole.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_reading_leaves_the_random_numbers_of_the_run_alone(task: Task, workers: int) -> None:
    """Else the masks of dropout would depend on how images are read."""
    torch.manual_seed(0)
    before = torch.get_rng_state()
    assert len(list(batches(stream(task, workers), CPU))) == 1
    assert torch.equal(torch.get_rng_state(), before)


def test_some_images_are_those_of_the_whole(task: Task) -> None:
    chosen = [0, 7, COUNT - 1]
    streamed, some = picked(stream(task), chosen), picked(task.load("test", PRESET, 24), chosen)
    assert torch.equal(streamed.images, some.images)
    assert torch.equal(streamed.labels, some.labels)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_fails_with_its_name(own: Task, tmp_path: Path, workers: int) -> None:
    bad = tmp_path / "dtd/images/test/000067.png"
    bad.write_bytes(bad.read_bytes()[:-30])
    with pytest.raises(BadImage, match=r"^\S*/dtd/images/test/000067\.png: the PNG ends too early[^\n]*$"):
        load_split(own, "test", PRESET, 16, LoaderSettings(workers))


def test_what_cannot_be_preprocessed_is_an_image_with_a_name(own: Task) -> None:
    listing = own.source("test")
    image = listing.folder / listing.names[0]  # type: ignore[attr-defined]
    Image.open(image).save(image, "JPEG")
    lossless = dataclasses.replace(stream(own), preprocessing=dataclasses.replace(PRESET, decode="png"))
    with pytest.raises(BadImage, match=rf"{image}: cannot be preprocessed \(wants lossless"):
        list(lossless.batches())


def test_a_small_split_starts_no_process(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.data.loader, "clean_processes", None)  # so that starting one would fail
    small = Streamed(task.source("train"), PRESET, 24, workers=16)  # type: ignore[arg-type]
    assert sum(len(images) for images, _ in small.batches()) == 20
