"""Frozen states on disk: found again by what they are, checked, bounded, and never half there."""

import json
import multiprocessing
import os
import random
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.features.disk import OnDisk
from bench.features.memory import InMemory

PLENTY = 10**6


def nobody(key: object) -> bool:
    return False


def put(tier: OnDisk, key: str, values: Tensor, name: str = "block 1") -> Tensor:
    assert tier.make_room(values.nbytes, nobody)
    blank = tier.blank(key, name, tuple(values.shape), values.dtype)
    blank.copy_(values)
    return tier.keep(key, name, blank)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_another_process_finds_what_was_kept(tmp_path: Path, kind: torch.dtype) -> None:
    values = torch.randn(5, 3, 2).to(kind)
    kept = put(OnDisk(tmp_path, PLENTY), "of this", values)
    found = OnDisk(tmp_path, PLENTY).get("of this", "block 1")
    assert found is not None
    assert found.dtype == kind
    assert torch.equal(found, values)
    assert torch.equal(kept, values)


def test_only_what_was_asked_for_is_found(tmp_path: Path) -> None:
    tier = OnDisk(tmp_path, PLENTY)
    put(tier, "of this", torch.ones(3))
    assert tier.get("of that", "block 1") is None
    assert tier.get("of this", "block 2") is None


def test_what_is_half_written_is_not_there(tmp_path: Path) -> None:
    """A process that is killed leaves a temporary file, or a file without a note: neither is found."""
    tier = OnDisk(tmp_path, PLENTY)
    tier.make_room(12, nobody)
    tier.blank("of this", "block 1", (3,), torch.float32).fill_(1)
    assert OnDisk(tmp_path, PLENTY).get("of this", "block 1") is None
    put(tier, "of that", torch.ones(3))
    next(tmp_path.glob("*.json")).unlink()
    assert OnDisk(tmp_path, PLENTY).get("of that", "block 1") is None


@pytest.mark.parametrize("damage", ["numbers", "note", "length"])
def test_what_is_damaged_is_removed_and_can_be_made_again(tmp_path: Path, damage: str) -> None:
    put(OnDisk(tmp_path, PLENTY), "of this", torch.arange(100.0))
    file, note = next(tmp_path.glob("*.npy")), next(tmp_path.glob("*.json"))
    if damage == "note":
        note.write_text("{")
    else:
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content if damage == "numbers" else content[:-8])
    tier = OnDisk(tmp_path, PLENTY)
    assert tier.get("of this", "block 1") is None
    assert not note.exists()
    assert torch.equal(put(tier, "of this", torch.arange(100.0)), torch.arange(100.0))


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    tier = OnDisk(tmp_path, 3500)
    for i, key in enumerate("abc"):
        put(tier, key, torch.full((200,), float(i)))
        newest = max(tmp_path.glob("*.npy"), key=lambda file: file.stat().st_mtime_ns)
        os.utime(newest, (i, i))
    OnDisk(tmp_path, 3500).get("a", "block 1")  # used now, by another process
    put(tier, "d", torch.full((200,), 3.0))
    there = [key for key in "abcd" if OnDisk(tmp_path, 3500).get(key, "block 1") is not None]
    assert there == ["a", "c", "d"]
    assert not tier.make_room(3501, nobody)


def test_nothing_is_removed_in_vain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process holds would keep its bytes, and what others are writing has them already."""
    tier = OnDisk(tmp_path, 2500)
    put(tier, "a", torch.ones(200))
    put(tier, "b", torch.zeros(200))
    assert not tier.make_room(2000, "a".__eq__)
    (tmp_path / "other.tmp").write_bytes(bytes(1000))
    assert not tier.make_room(2000, nobody)
    monkeypatch.setattr("bench.features.disk.SPARE", 2**60)  # a disk as good as full
    assert not tier.make_room(1000, nobody)
    assert all(OnDisk(tmp_path, 2500).get(key, "block 1") is not None for key in "ab")


def test_what_is_held_is_not_removed(tmp_path: Path) -> None:
    tier = OnDisk(tmp_path, 2000)
    put(tier, "a", torch.ones(200))
    put(tier, "b", torch.zeros(200))
    OnDisk(tmp_path, 2000).get("b", "block 1")  # used last
    assert tier.make_room(900, "a".__eq__)
    assert [OnDisk(tmp_path, 2000).get(key, "block 1") is not None for key in "ab"] == [True, False]


def test_what_was_removed_is_not_mapped_any_more(tmp_path: Path) -> None:
    """Else the disk gives nothing back as long as the process lives."""
    tier = OnDisk(tmp_path, 1000)
    put(tier, "a", torch.ones(200))
    (file,) = tmp_path.glob("*.npy")
    assert file.name in Path("/proc/self/maps").read_text()
    assert tier.make_room(1000 - 12, nobody)
    assert file.name not in Path("/proc/self/maps").read_text()
    assert tier.get("a", "block 1") is None
    put(tier, "a", torch.ones(200))
    next(tmp_path.glob("*.npy")).unlink()  # by another process
    assert tier.make_room(1, nobody)
    assert file.name not in Path("/proc/self/maps").read_text()


def test_a_state_that_was_removed_stays_readable_for_those_who_have_it(tmp_path: Path) -> None:
    kept = put(OnDisk(tmp_path, 1000), "a", torch.ones(200))
    put(OnDisk(tmp_path, 1000), "b", torch.zeros(200))
    assert len(list(tmp_path.glob("*.npy"))) == 1
    assert torch.equal(kept, torch.ones(200))


def test_writing_to_what_was_found_changes_no_file(tmp_path: Path) -> None:
    put(OnDisk(tmp_path, PLENTY), "a", torch.ones(3)).zero_()
    found = OnDisk(tmp_path, PLENTY).get("a", "block 1")
    assert found is not None
    assert torch.equal(found, torch.ones(3))


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    put(OnDisk(tmp_path, PLENTY), "a", torch.ones(3))
    old, new = tmp_path / "old.tmp", tmp_path / "new.tmp"
    old.touch()
    os.utime(old, (0, 0))
    new.touch()
    (tmp_path / "orphan.json").write_text(json.dumps({"file": "gone.npy"}))
    OnDisk(tmp_path, PLENTY).make_room(1, nobody)
    assert (old.exists(), new.exists(), (tmp_path / "orphan.json").exists()) == (False, True, False)
    assert OnDisk(tmp_path, PLENTY).get("a", "block 1") is not None


def in_memory(keys: str) -> InMemory:
    """Room for three states of ten bytes, some of which are there."""
    tier = InMemory("device", 30, torch.device("cpu"))
    for key in keys:
        assert tier.make_room(10, nobody)
        tier.keep(key, "block 1", torch.zeros(10, dtype=torch.uint8))
    return tier


def there(tier: InMemory, keys: str) -> str:
    return "".join(key for key in keys if tier.get(key, "block 1") is not None)


def test_memory_lets_go_what_was_used_longest_ago() -> None:
    tier = in_memory("abc")
    assert there(tier, "a") == "a"
    assert tier.make_room(10, nobody)
    assert (there(tier, "abc"), tier.used()) == ("ac", 20)


def test_memory_keeps_what_is_held() -> None:
    tier = in_memory("ab")
    assert not tier.make_room(21, lambda key: key == "a")
    assert there(tier, "b") == "b"  # nothing goes in vain
    assert tier.make_room(20, lambda key: key == "a")
    assert there(tier, "ab") == "a"


def test_a_folder_that_cannot_be_written_to_has_no_room(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not OnDisk(tmp_path / "file" / "below", PLENTY).make_room(1, nobody)


def test_what_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    tier = OnDisk(tmp_path, PLENTY)
    tier.make_room(12, nobody)
    tier.blank("a", "step 1", (3,), torch.float32)
    tier.abandon()
    assert not list(tmp_path.iterdir())


ROWS = 200


def use(folder: Path, seed: int, rounds: int, said: Connection) -> None:
    """Want one of six states again and again where three fit, as a process does beside others."""
    tier, chosen, found = OnDisk(folder, 3 * ROWS * 4 + 1000), random.Random(seed), 0
    for _ in range(rounds):
        value = chosen.randrange(6)
        state = tier.get(value, "block 1")
        found += state is not None
        if state is None and tier.make_room(ROWS * 4 + 128, nobody):
            blank = tier.blank(value, "block 1", (ROWS,), torch.float32)
            blank.copy_(torch.full((ROWS,), float(value)))
            state = tier.keep(value, "block 1", blank)
        assert state is None or torch.equal(state, torch.full((ROWS,), float(value)))
    said.send(found)


def test_processes_share_a_folder_and_one_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe(duplex=False)
    doomed = context.Process(target=use, args=(tmp_path, 0, 10**6, there))
    others = [context.Process(target=use, args=(tmp_path, seed, 150, there)) for seed in (1, 2)]
    for process in (doomed, *others):
        process.start()
    others[0].join()
    doomed.kill()
    for process in (doomed, *others):
        process.join()
    assert [process.exitcode for process in others] == [0, 0]
    assert min(here.recv(), here.recv()) > 0
    most = 3 + 2  # two may look for room at the same time
    assert sum(file.stat().st_size for file in tmp_path.glob("*.npy")) <= most * (ROWS * 4 + 128) + 1000
