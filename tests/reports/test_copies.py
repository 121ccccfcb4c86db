"""Copies of a suite are told apart by what each command met, and by nothing where nothing tells."""

import dataclasses
from typing import Any

import pandas as pd
import pytest

from reports import find
from reports.tables.comparison import comparisons, copies
from results import Record, frame

A = {"cifar": "a1", "dtd": "a2", "kitti": "a3"}
B = {"cifar": "b1", "dtd": "b2", "kitti": "b3"}
Run = tuple[str, str, dict[str, str]]  # command, date, what it met


def numbered(*calls: Run) -> dict[str | None, int]:
    """The number of the copy of each revision."""
    rows = [
        {"suite": "vtab", "task": task, "data": revision, "where_command": command, "where_date": date}
        for command, date, met in calls
        for task, revision in met.items()
    ]
    runs = pd.DataFrame(rows, index=range(7, 7 + len(rows)))
    found = copies(runs)
    assert list(found.index) == list(runs.index)
    return dict(zip(runs["data"], found, strict=True))


def test_one_copy_is_the_first() -> None:
    assert set(numbered(("all", "1", A), ("again", "2", A)).values()) == {1}


def test_two_copies_are_numbered_as_they_came_into_use() -> None:
    found = numbered(("--data B", "2", B), ("--data A", "1", A), ("--data B --methods dtl", "3", B))
    assert found == {**dict.fromkeys(A.values(), 1), **dict.fromkeys(B.values(), 2)}


def test_a_first_try_on_one_task_joins_its_copy() -> None:
    trial = {"cifar": "b1"}
    found = numbered(("try", "1", trial), ("A", "2", A), ("B", "3", {"dtd": "b2", "kitti": "b3"}))
    assert found == {**dict.fromkeys(B.values(), 1), **dict.fromkeys(A.values(), 2)}


def test_a_copy_that_was_mended_between_two_equal_calls_differs_in_what_was_mended() -> None:
    found = numbered(("all", "1", A), ("all", "2", {**A, "dtd": "mended"}))
    assert found == {"a1": 1, "a2": 1, "a3": 1, "mended": 2}


@pytest.mark.parametrize("column", ["data", "where_command", "where_date"])
def test_what_is_not_known_splits_nothing(column: str) -> None:
    runs = pd.DataFrame({"suite": ["vtab"] * 2, "task": ["dtd", "cifar"], "data": ["a2", None]})
    runs = runs.assign(where_command="all", where_date="1").drop(columns=column)
    assert copies(runs).tolist() == [1, 1]


def placed(make: Any, suite: str = "folder", task: str = "pets", data: str = "aa", **where: str) -> Record:
    """A run on the images of revision `data`, where folder and weight file lay as told."""
    known = make(suite=suite, task=task, weights=where.pop("digest", None))
    identity = dataclasses.replace(known.identity, changes=known.identity.changes | {"data": data})
    return dataclasses.replace(known, identity=identity, where=dataclasses.replace(known.where, **where))


def names(*records: Record) -> list[str]:
    found = [table.name for table in find("accuracy")(frame(records))]
    assert found == [f"accuracy-{each.name}" for each in comparisons(frame(records))]
    return found


def test_folders_of_one_name_are_told_apart_by_the_folders_above(make) -> None:
    alone = placed(make, folder="data/2023/pets")
    assert names(alone) == ["accuracy-folder-pets-vit_b16-common"]
    other, third = placed(make, data="bb", folder="data/2024/pets"), placed(make, data="cc", folder="old/2024/pets")
    assert names(alone, other) == [f"accuracy-folder-{year}-pets-vit_b16-common" for year in (2023, 2024)]
    assert names(alone, other, third) == [
        f"accuracy-folder-{place}-pets-vit_b16-common" for place in ("2023", "data-2024", "old-2024")
    ]
    shots = placed(make, task="pets-shots5", data="dd", folder="data/2024/pets")
    assert names(alone, shots)[1] == "accuracy-folder-pets-shots5-vit_b16-common"
    moved = dataclasses.replace(alone, where=dataclasses.replace(alone.where, folder="mnt/pets"))
    assert names(alone, moved) == ["accuracy-folder-pets-vit_b16-common"]  # the images are the same


def test_a_folder_that_was_mended_is_told_apart_by_its_revision(make) -> None:
    pair = [placed(make, data=data, folder="a/pets") for data in ("aa", "bb")]
    assert names(*pair) == [f"accuracy-folder-pets-vit_b16-common-revision-{data}" for data in ("aa", "bb")]
    assert names(*(placed(make, task=task, data=data) for task, data in (("猫", "aa"), ("犬", "bb")))) == [
        f"accuracy-folder-vit_b16-common-{data}" for data in ("aa", "bb")
    ]


def test_weight_files_of_one_name_are_told_apart_by_the_folders_above(make) -> None:
    first = placed(make, "vtab", "dtd", digest="1234", weights="runs/a/vit.npz")
    other = placed(make, "vtab", "dtd", digest="5678", weights="runs/b/vit.npz")
    same = placed(make, "vtab", "dtd", digest="9abc", weights="runs/b/vit.npz")
    assert names(first) == ["accuracy-vtab-vit_b16-vit.npz-common"]
    assert names(first, other) == [f"accuracy-vtab-vit_b16-{place}-vit.npz-common" for place in "ab"]
    assert names(other, same) == [f"accuracy-vtab-vit_b16-vit.npz-{digest}-common" for digest in ("5678", "9abc")]
    assert "backbone vit_b16=b/vit.npz (weights 5678)" in find("accuracy")(frame([first, other]))[1].caption


def test_copies_of_a_suite_are_called_as_the_commands_call_their_folders(make) -> None:
    a, b = (
        placed(make, "vtab", "dtd", data, command=f"python bench.py --suite vtab --data {data}")
        for data in ("kaggle", "noah")
    )
    assert names(a, b) == [f"accuracy-vtab-vit_b16-common-{name}" for name in ("kaggle", "noah")]
