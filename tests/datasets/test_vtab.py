"""VTAB-1k is found in every circulating layout and under every name, with the numbers of the protocol."""

import shutil
from pathlib import Path

import pytest

from datasets import PRESETS, locate, suite
from datasets.files.lists import BadList
from datasets.suites.vtab import ALIASES
from datasets.transforms.decoding import BadImage
from tests.datasets.made import json_task, suite_copy, text_task

VTAB = suite("vtab")
TASKS = {task.name: task for task in VTAB.tasks}
PLAIN = PRESETS["checkpoint"]


def test_the_numbers_of_the_protocol() -> None:
    assert len(VTAB.tasks) == 19
    assert sum(task.classes for task in VTAB.tasks) == 940
    assert [sum(task.group == group for task in VTAB.tasks) for group in VTAB.groups] == [7, 4, 8]
    assert sum(task.sizes["test"] for task in VTAB.tasks) == 387_904
    assert all(task.sizes["train"] == task.sizes["train800"] + task.sizes["val"] == 1000 for task in VTAB.tasks)
    assert ALIASES.keys() <= TASKS.keys()


@pytest.mark.parametrize("make", [text_task, json_task])
def test_a_copy_is_found_whatever_its_layout(make, tmp_path: Path) -> None:
    suite_copy(tmp_path, VTAB.tasks, make, train=6, test=3)
    found = locate(VTAB, VTAB.tasks, tmp_path)
    assert [task.name for task in found] == list(TASKS)
    for task in found:
        train, test = (task.load(split, PLAIN, 16) for split in ("train", "test"))
        assert (len(train), len(test)) == (6, 3) == (task.sizes["train"], task.sizes["test"])
        assert train.labels.tolist() == [index % task.classes for index in range(6)]


def test_images_may_lie_beside_the_lists_or_below_images(tmp_path: Path) -> None:
    json_task(tmp_path / "dtd", TASKS["dtd"], below="images")
    json_task(tmp_path / "svhn", TASKS["svhn"], below=".")
    assert len(locate(VTAB, [TASKS["dtd"], TASKS["svhn"]], tmp_path)[1].load("test", PLAIN, 8)) == 6


@pytest.mark.parametrize(("name", "alias"), [(name, alias) for name in ALIASES for alias in ALIASES[name]])
def test_every_alias_leads_to_its_task(name: str, alias: str, tmp_path: Path) -> None:
    text_task(tmp_path / "vtab-1k" / alias.replace("_", "-").title(), TASKS[name], train=2, test=1)
    assert locate(VTAB, [TASKS[name]], tmp_path)[0].sizes["test"] == 1


def test_without_the_joined_list_its_parts_are_joined(tmp_path: Path) -> None:
    text_task(tmp_path / "dtd", TASKS["dtd"], train=10, test=2)
    whole = locate(VTAB, [TASKS["dtd"]], tmp_path)[0].load("train", PLAIN, 16)
    (tmp_path / "dtd" / "train800val200.txt").unlink()
    shutil.rmtree(tmp_path / "dtd" / "images" / "train800val200")
    joined = locate(VTAB, [TASKS["dtd"]], tmp_path)[0].load("train", PLAIN, 16)
    assert joined.images.equal(whole.images)
    assert joined.labels.equal(whole.labels)


def test_the_revision_changes_with_a_label_and_with_an_image(tmp_path: Path) -> None:
    folder, task = tmp_path / "dtd", TASKS["dtd"]
    text_task(folder, task)

    def revision() -> str:
        return locate(VTAB, [task], tmp_path)[0].revision

    first = revision()
    assert revision() == first
    listed = (folder / "test.txt").read_text()
    (folder / "test.txt").write_text(listed.replace("000000.jpg 0", "000000.jpg 7"))
    second = revision()
    (folder / "test.txt").write_text(listed)
    assert revision() == first
    with (folder / "images/train800val200/000003.jpg").open("ab") as file:
        file.write(b"\0")
    assert len({first, second, revision()}) == 3


def test_missing_tasks_are_named_with_what_to_do(tmp_path: Path) -> None:
    text_task(tmp_path / "dtd", TASKS["dtd"], train=2, test=1)
    with pytest.raises(ValueError, match=r"2 of 3 tasks of vtab are not below .* \(cifar, svhn\); .*data check vtab"):
        locate(VTAB, [TASKS["cifar"], TASKS["dtd"], TASKS["svhn"]], tmp_path)
    with pytest.raises(ValueError, match="name it with --data"):
        TASKS["cifar"].load("train", PLAIN, 16)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("images/test/000000.jpg 47", r"label 47 of images/test/000000.jpg is not among 0..46"),
        ("../test/000000.jpg 0", r"'../test/000000.jpg' leaves the folder"),
        ("/etc/passwd 0", r"leaves the folder"),
        ("images/test/000000.jpg -1", r"'-1' of .* is no class number"),
        ("images/test/000000.jpg", r"no path"),
        ("\0 1", r"no path"),
    ],
)
def test_a_line_that_cannot_be_used_is_an_error_that_names_it(line: str, says: str, tmp_path: Path) -> None:
    text_task(tmp_path / "dtd", TASKS["dtd"])
    with (tmp_path / "dtd" / "test.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(BadList, match=says):
        locate(VTAB, [TASKS["dtd"]], tmp_path)


NO_LISTS = ["", "{", "[[1]]", "[" * 100_000, '[{"a.png": 1, "b.png": 2}]', "7", '[{"a.png": true}]']


@pytest.mark.parametrize("text", NO_LISTS, ids=range(len(NO_LISTS)))
def test_a_json_list_of_another_shape_is_an_error(text: str, tmp_path: Path) -> None:
    json_task(tmp_path / "dtd", TASKS["dtd"])
    (tmp_path / "dtd" / "test.json").write_text(text)
    with pytest.raises(BadList, match=r"dtd in .*test\.json"):
        locate(VTAB, [TASKS["dtd"]], tmp_path)


def test_a_list_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    text_task(tmp_path / "dtd", TASKS["dtd"])
    (tmp_path / "dtd" / "test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadList, match=r"test\.txt: is no list"):
        locate(VTAB, [TASKS["dtd"]], tmp_path)


def test_a_path_may_hold_spaces(tmp_path: Path) -> None:
    folder = tmp_path / "dtd"
    text_task(folder, TASKS["dtd"])
    (folder / "images/test/000000.jpg").rename(folder / "images/test/an image.jpg")
    lists = (folder / "test.txt").read_text().replace("000000.jpg", "an image.jpg")
    (folder / "test.txt").write_text(lists)
    assert len(locate(VTAB, [TASKS["dtd"]], tmp_path)[0].load("test", PLAIN, 16)) == 6


def test_a_listed_file_that_is_gone_is_known_before_anything_is_decoded(tmp_path: Path) -> None:
    text_task(tmp_path / "dtd", TASKS["dtd"])
    before = locate(VTAB, [TASKS["dtd"]], tmp_path)[0]
    (tmp_path / "dtd/images/test/000002.jpg").unlink()
    task = locate(VTAB, [TASKS["dtd"]], tmp_path)[0]
    assert task.source("test").gone == ["images/test/000002.jpg"]  # type: ignore[attr-defined]
    assert task.revision != before.revision
    with pytest.raises(BadImage, match=r"000002\.jpg: cannot be read \(No such file"):
        task.load("test", PLAIN, 16)
