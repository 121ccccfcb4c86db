"""What `data fetch` puts in place holds tasks, whatever the archives look like; what has no use it says and clears."""

import fcntl
from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.prepare import fetch as data_fetch
from tests.bench.hub import serving
from tests.bench.prepare.test_fetch import CHOSEN, fetch, loads, made, zipped
from tests.datasets.made import json_task

__all__ = ["fetch", "made"]  # fixtures

NOTES = {".vtab-download"}  # what a failed call leaves, so that the next need not download again


def left(data: Path) -> set[str]:
    return {path.name for path in data.iterdir()} - NOTES


@pytest.mark.parametrize(
    "prefixes",
    [
        ("vtab-1k-png/dtd/", "vtab-1k-png/svhn/"),  # two archives with one folder on top
        ("a/b/dtd/", "a/b/svhn/"),
        ("first/dtd/", "second/svhn/"),
        ("dtd/", ""),
    ],
)
def test_archives_may_lie_as_they_like(prefixes: tuple[str, str], made: Path, tmp_path: Path, fetch) -> None:
    dtd, svhn = (zipped(made / name, prefix) for name, prefix in zip(("dtd", "svhn"), prefixes, strict=True))
    with serving({"dtd.zip": dtd, "svhn.zip": svhn, "README.md": b"about"}) as hub:
        said = fetch(hub.address, tmp_path)
    assert "2 of 19 tasks came, without cifar, caltech101, oxford_flowers102" in said
    assert loads(tmp_path)
    assert left(tmp_path) == {"vtab"}


def test_a_task_may_come_in_two_archives(made: Path, tmp_path: Path, fetch) -> None:
    lists, images = tmp_path / "lists", tmp_path / "images"
    for path in (made / "dtd").rglob("*"):
        if path.is_file():
            place = (images if path.suffix == ".png" else lists) / path.relative_to(made / "dtd")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    files = {"1.zip": zipped(lists, "dtd/"), "2.zip": zipped(images, "dtd/"), "svhn.zip": zipped(made / "svhn")}
    with serving(files) as hub:
        fetch(hub.address, tmp_path / "data")
    assert loads(tmp_path / "data")


def test_one_file_of_two_archives_is_an_error_and_nothing_stays(made: Path, tmp_path: Path, fetch) -> None:
    json_task(tmp_path / "other", CHOSEN[0], start=100)
    files = {"a.zip": zipped(made / "dtd", "dtd/"), "b.zip": zipped(tmp_path / "other", "dtd/")}
    with serving(files) as hub, pytest.raises(UsageError, match=r"b\.zip holds .*, which came otherwise before"):
        fetch(hub.address, tmp_path / "data")
    assert left(tmp_path / "data") == set()


def test_what_holds_no_task_is_not_put_in_place(tmp_path: Path, fetch) -> None:
    with (
        serving({"README.md": b"moved"}) as hub,
        pytest.raises(UsageError, match=r"holds no task of vtab \(README\.md\)"),
    ):
        fetch(hub.address, tmp_path)
    assert left(tmp_path) == set()


def test_an_empty_folder_is_filled_and_a_strange_one_is_refused(made: Path, tmp_path: Path, fetch) -> None:
    (tmp_path / "vtab").mkdir()
    with serving({"all.zip": zipped(made)}) as hub:
        fetch(hub.address, tmp_path)
        assert loads(tmp_path)
        (tmp_path / "other/vtab/mine").mkdir(parents=True)
        with pytest.raises(UsageError, match="is there but no task of vtab is in it"):
            fetch(hub.address, tmp_path / "other")


def test_another_process_that_just_finished_is_noticed(
    made: Path, tmp_path: Path, fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def late(*given: int) -> None:
        (tmp_path / "vtab").exists() or made_by_another()
        lock(*given)

    def made_by_another() -> None:
        for path in made.rglob("*"):
            if path.is_file():
                place = tmp_path / "vtab" / path.relative_to(made)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(path.read_bytes())

    monkeypatch.setattr(data_fetch.fcntl, "flock", late)
    with serving({"all.zip": zipped(made)}) as hub:
        assert "is there already" in fetch(hub.address, tmp_path)
        assert hub.asked == []


def test_the_lock_of_one_who_just_finished_counts_for_nothing(
    tmp_path: Path, fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def removed(*given: int) -> None:
        (tmp_path / ".vtab-fetch.lock").unlink()
        lock(*given)

    monkeypatch.setattr(data_fetch.fcntl, "flock", removed)
    with pytest.raises(UsageError, match=r"another process was fetching .* call again"):
        fetch("http://127.0.0.1:9", tmp_path)


@pytest.mark.parametrize("address", ["nowhere", "ftp://host", "http://", "http://[", "http://host:99999"])
def test_a_mirror_that_is_no_address_is_said(address: str, tmp_path: Path, fetch) -> None:
    with pytest.raises(UsageError, match=r"HF_ENDPOINT='.*' is no address"):
        fetch(address, tmp_path)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("answer", [b"<html>welcome</html>", b"[]", b'{"siblings": 7}', b'{"siblings": [{}]}'])
def test_a_mirror_that_is_no_hub_is_said(answer: bytes, tmp_path: Path, fetch) -> None:
    with serving({}) as hub:
        hub.welcome = answer
        with pytest.raises(UsageError, match="gave no usable answer for"):
            fetch(hub.address, tmp_path)
    assert left(tmp_path) == set()


def test_a_published_name_that_leaves_the_folder_is_refused(tmp_path: Path, fetch) -> None:
    with serving({"../own": b"x"}) as hub, pytest.raises(UsageError):
        fetch(hub.address, tmp_path / "data")
    assert not (tmp_path / "own").exists()
