"""Images that are decoded ahead are those that are decoded here; decoded once they are kept, and kept safely."""

import dataclasses
import errno
import multiprocessing
import os
from pathlib import Path

import pytest
import torch
from PIL import Image

from bench.data import decoded_writing
from bench.data.batches import batches, picked
from bench.data.decoded import DecodedImages
from bench.data.splits import Loaded, load_split
from bench.data.streamed import Streamed, streamed
from bench.settings import Reading
from datasets import PRESETS, Task, locate, suite
from datasets.transforms.decoding import BadImage
from tests.datasets.made import json_task

CPU = torch.device("cpu")
HERE = Reading(workers=0)
VTAB = suite("vtab")
DTD = next(task for task in VTAB.tasks if task.name == "dtd")
PRESET = PRESETS["synqt"]
COUNT = 53  # of the test split: no multiple of a block or batch


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    json_task(folder / "dtd", DTD, train=20, test=COUNT)
    return folder


@pytest.fixture
def task(data: Path) -> Task:
    return locate(VTAB, [DTD], data)[0]


@pytest.fixture
def own(tmp_path: Path) -> Task:
    """A task whose files may be damaged."""
    json_task(tmp_path / "dtd", DTD, train=4, test=20)
    return locate(VTAB, [DTD], tmp_path)[0]


def stream(task: Task, how: Reading = HERE, size: int = 24) -> Streamed:
    return streamed(task.source("test"), PRESET, size, how)  # type: ignore[arg-type]


def joined(split: Streamed, batch_size: int = 10) -> torch.Tensor:
    split = dataclasses.replace(split, batch_size=batch_size)
    parts = [(images.clone(), labels) for images, labels in batches(split, CPU)]
    assert [len(labels) for _, labels in parts] == [len(images) for images, _ in parts]
    assert {len(labels) for _, labels in parts[:-1]} <= {batch_size}
    assert torch.equal(torch.cat([labels for _, labels in parts]), split.labels)
    return torch.cat([images for images, _ in parts])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("batch_size", "piece"), [(7, 32), (16, 3), (20, 5), (256, 10)])
def test_what_comes_is_what_the_task_holds(
    task: Task, workers: int, batch_size: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.data.streamed.PIECE", piece)
    split = stream(task, dataclasses.replace(HERE, workers=workers))
    assert len(split) == COUNT
    assert torch.equal(joined(split, batch_size), task.load("test", PRESET, 24).images)


def test_some_images_are_those_of_the_whole(task: Task) -> None:
    places = [0, 7, COUNT - 1]
    streamed_some, some = picked(stream(task), places), picked(task.load("test", PRESET, 24), places)
    assert torch.equal(streamed_some.images, some.images)
    assert torch.equal(streamed_some.labels, some.labels)


def test_a_small_split_is_in_memory_and_a_large_one_is_not(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(load_split(task, "test", PRESET, 24, HERE).split, Streamed)
    monkeypatch.setattr("bench.data.splits.IN_MEMORY_BYTES", 1000)
    assert isinstance(load_split(task, "test", PRESET, 24, HERE).split, Streamed)


def test_what_cannot_be_preprocessed_is_an_image_with_a_name(task: Task) -> None:
    wants_lossless = dataclasses.replace(PRESET, decode="png")
    source = task.source("test")
    image = source.folder / source.names[0]  # type: ignore[attr-defined]
    before = image.read_bytes()
    try:
        Image.open(image).save(image, "JPEG")
        with pytest.raises(BadImage, match=rf"{image}: cannot be preprocessed \(wants lossless"):
            joined(streamed(source, wants_lossless, 24, HERE))  # type: ignore[arg-type]
    finally:
        image.write_bytes(before)


def kept(folder: Path, limit_bytes: int = 2**30) -> Reading:
    return dataclasses.replace(HERE, cache=folder.parent, cache_bytes=limit_bytes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where decoded images are kept."""
    return tmp_path / "decoded"


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


def test_the_second_time_nothing_is_decoded(task: Task, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = joined(stream(task, kept(folder)))
    assert len(entries(folder)) == 1
    monkeypatch.setattr("bench.data.streamed._write", None)
    assert torch.equal(joined(stream(task, kept(folder))), first)


def test_another_size_or_preset_is_another_entry(task: Task, folder: Path) -> None:
    joined(stream(task, kept(folder)))
    joined(stream(task, kept(folder), size=16))
    bilinear = dataclasses.replace(stream(task, kept(folder)), preprocessing=PRESETS["vpt"])
    joined(bilinear)
    assert len(entries(folder)) == 3


def test_a_changed_file_of_the_same_size_is_decoded_again(own: Task, tmp_path: Path) -> None:
    folder = tmp_path / "decoded"
    joined(stream(own, kept(folder)))
    image = tmp_path / "dtd/images/test/000003.png"
    image.write_bytes((tmp_path / "dtd/images/test/000004.png").read_bytes())
    os.utime(image, ns=(1, 1))
    again = joined(stream(own, kept(folder)))
    assert torch.equal(again[3], again[4])


def test_a_damaged_block_is_decoded_again_and_the_entry_made_anew(task: Task, folder: Path) -> None:
    first = joined(stream(task, kept(folder)))
    (entry,) = entries(folder)
    with (folder / entry / "images.uint8").open("r+b") as file:
        file.seek(20 * 3 * 24 * 24)
        file.write(b"\x00" * 100)
    assert torch.equal(joined(stream(task, kept(folder))), first)
    assert entries(folder) == []
    assert torch.equal(joined(stream(task, kept(folder))), first)


@pytest.mark.parametrize("text", ["", "{}", '{"block": 0, "crc32": []}', '{"block": 16, "crc32": [1]}', "[]"])
def test_an_entry_that_cannot_be_right_is_made_anew(text: str, task: Task, folder: Path) -> None:
    first = joined(stream(task, kept(folder)))
    (entry,) = entries(folder)
    (folder / entry / "checksums.json").write_text(text)
    assert torch.equal(joined(stream(task, kept(folder))), first)
    assert entries(folder) == [entry]


def test_a_cut_off_entry_is_made_anew(task: Task, folder: Path) -> None:
    first = joined(stream(task, kept(folder)))
    (entry,) = entries(folder)
    os.truncate(folder / entry / "images.uint8", 1000)
    assert torch.equal(joined(stream(task, kept(folder))), first)


def test_who_stops_early_leaves_nothing(task: Task, folder: Path) -> None:
    for _ in dataclasses.replace(stream(task, kept(folder)), batch_size=10).batches():
        break
    assert entries(folder) == []


def test_the_least_recently_read_goes_first_and_the_bound_holds(task: Task, folder: Path) -> None:
    sizes = {size: COUNT * 3 * size**2 for size in (16, 20, 24, 28)}
    limit = sizes[16] + sizes[20] + sizes[24]
    for size in (16, 20, 24):
        joined(stream(task, kept(folder, limit), size))
        (newest,) = [name for name in entries(folder) if (folder / name).stat().st_mtime > 2]
        os.utime(folder / newest, (1 + size / 100, 1 + size / 100))
    joined(stream(task, kept(folder, limit), 16))  # read, so no longer the oldest
    joined(stream(task, kept(folder, limit), 28))
    left = {(folder / name / "images.uint8").stat().st_size for name in entries(folder)}
    assert left == {sizes[16], sizes[28]}
    joined(stream(task, kept(folder, 1000), 24))
    assert len(entries(folder)) == 2


def test_what_a_killed_process_left_is_cleared(task: Task, folder: Path) -> None:
    folder.mkdir()
    (folder / ".making-dead").mkdir()
    (folder / ".making-dead" / "images.uint8").write_bytes(b"x" * 1000)
    (folder / ".making-early").mkdir()
    alive = decoded_writing.begin(folder, 1000, 2**30)
    assert alive is not None
    with alive:
        joined(stream(task, kept(folder)))
        assert len([name for name in entries(folder) if name.startswith(".making")]) == 1
    assert len(entries(folder)) == 1


@pytest.mark.parametrize("call", ["posix_fallocate", "fsync"])
def test_a_full_disk_ends_the_keeping_and_not_the_run(
    call: str, task: Task, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(decoded_writing.os, call, full)
    assert torch.equal(joined(stream(task, kept(folder))), task.load("test", PRESET, 24).images)
    assert entries(folder) == []
    assert "No space left on device" in caplog.text


def read_all(data: Path, folder: Path, sums: "multiprocessing.Queue[int]") -> None:
    (task,) = locate(VTAB, [DTD], data)
    for _ in range(3):
        sums.put(int(joined(stream(task, kept(folder))).sum()))


def test_two_processes_may_make_the_same_entry(data: Path, task: Task, folder: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    sums = context.Queue()
    both = [context.Process(target=read_all, args=(data, folder, sums)) for _ in range(2)]
    for process in both:
        process.start()
    seen = {sums.get() for _ in range(6)}
    for process in both:
        process.join()
    assert seen == {int(task.load("test", PRESET, 24).images.sum())}
    assert len(entries(folder)) == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_fails_with_its_name(own: Task, tmp_path: Path, workers: int) -> None:
    bad = tmp_path / "dtd/images/test/000017.png"
    bad.write_bytes(bad.read_bytes()[:-30])
    how = dataclasses.replace(HERE, workers=workers)
    with pytest.raises(BadImage, match=r"^\S*/dtd/images/test/000017\.png: the PNG ends too early[^\n]*$"):
        load_split(own, "test", PRESET, 16, how)


def test_bad_images_are_skipped_and_counted_when_asked(
    own: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    whole = own.load("test", PRESET, 16)
    (tmp_path / "dtd/images/test/000003.png").write_bytes(b"")
    (tmp_path / "dtd/images/test/000005.png").unlink()
    loaded: Loaded = load_split(own, "test", PRESET, 16, dataclasses.replace(HERE, on_bad_image="skip"))
    left = [place for place in range(20) if place not in (3, 5)]
    assert loaded.skipped == 2
    assert torch.equal(loaded.split.labels, whole.labels[left])
    assert torch.equal(loaded.split.images, whole.images[left])  # type: ignore[union-attr]


def test_without_a_sound_image_there_is_nothing_to_score(own: Task, tmp_path: Path) -> None:
    for path in (tmp_path / "dtd/images/test").iterdir():
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="none of the 20 images"):
        load_split(own, "test", PRESET, 16, dataclasses.replace(HERE, on_bad_image="skip"))


def test_a_missing_entry_is_none(tmp_path: Path) -> None:
    assert DecodedImages(tmp_path, 100).find("none", (1, 3, 2, 2)) is None
