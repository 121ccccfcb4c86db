"""Copies of a suite are told apart by what each command met, and by nothing where nothing tells."""

import pandas as pd
import pytest

from reports.tables.copies import copies

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
