"""Records on disk are whole or absent; what is damaged is named and never stops the rest."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from results import Damaged, Identity, Record, frame, load, load_all, path_of, save, set_aside, write_whole
from results.store import _digest


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def seeded(record: Record, seed: int) -> Record:
    return dataclasses.replace(record, identity=dataclasses.replace(record.identity, seed=seed))


def test_save_then_load(tmp_path: Path, record: Record) -> None:
    path = save(tmp_path, record)
    assert path == path_of(tmp_path, record.identity)
    assert load(path) == record
    assert files(tmp_path) == [path]


def test_the_path_says_what_it_holds(record: Record) -> None:
    path = path_of(Path("results"), record.identity)
    assert path.parent == Path("results/runs/vit_b16/vtab/dtd")
    assert path.name.startswith("lora-rank-4-s0-")


def test_settings_with_whole_number_keys_are_read_back(tmp_path: Path, record: Record) -> None:
    odd = dataclasses.replace(record, recipe={"drop": {9: 0.1, 10: (1, 2)}})
    assert load(save(tmp_path, odd)).recipe == {"drop": {"9": 0.1, "10": [1, 2]}}


def test_a_number_json_does_not_know_is_refused(tmp_path: Path, record: Record) -> None:
    odd = dataclasses.replace(record, score=dataclasses.replace(record.score, test_accuracy=float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path, odd)
    assert files(tmp_path) == []


@pytest.mark.parametrize("moment", ["replace", "fsync", "chmod"])
def test_an_interrupted_save_leaves_the_old_record(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path = save(tmp_path, record)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, moment, interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, dataclasses.replace(record, status="oom", reason="12 GiB"))
    monkeypatch.undo()
    assert load(path) == record
    assert files(tmp_path) == [path]


def test_write_whole_respects_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_whole(tmp_path / "a" / "b.txt", b"text")
    finally:
        os.umask(old)
    assert (tmp_path / "a" / "b.txt").stat().st_mode & 0o777 == 0o640


def foreign(record: Record) -> bytes:
    """A sound file of a later schema."""
    body = dataclasses.asdict(record) | {"schema": 2}
    return json.dumps({"sha256": _digest(body), "record": body}).encode()


DAMAGE = {
    "empty": lambda content, _: b"",
    "truncated": lambda content, _: content[: len(content) // 2],
    "altered": lambda content, _: content.replace(b'"test_accuracy": 0.5', b'"test_accuracy": 0.9'),
    "binary": lambda content, _: bytes(range(256)),
    "another document": lambda content, _: b"[1, 2]",
    "no record": lambda content, _: b"{}",
    "nested too deep": lambda content, _: b"[" * 100_000,
    "a later schema": lambda content, record: foreign(record),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_named_and_the_rest_is_read(tmp_path: Path, record: Record, damage: str) -> None:
    path, sound = save(tmp_path, record), seeded(record, 1)
    save(tmp_path, sound)
    path.write_bytes(DAMAGE[damage](path.read_bytes(), record))
    with pytest.raises(Damaged) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert load_all(tmp_path) == ([sound], [str(caught.value)])


@given(content=st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_a_record_or_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(Damaged):
        load(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, record: Record) -> None:
    save(tmp_path, record)
    (tmp_path / "runs" / "folder.json").mkdir()
    records, complaints = load_all(tmp_path)
    assert records == [record]
    assert "folder.json" in complaints[0]


def test_a_copied_file_does_not_count_twice(tmp_path: Path, record: Record) -> None:
    path = save(tmp_path, record)
    path.with_name("zz-copy.json").write_bytes(path.read_bytes())
    records, complaints = load_all(tmp_path)
    assert records == [record]
    assert len(complaints) == 1
    assert "zz-copy.json" in complaints[0]


def test_unfinished_and_set_aside_files_are_not_records(tmp_path: Path, record: Record) -> None:
    path = save(tmp_path, record)
    path.with_name(f".{path.name}-x.tmp").write_bytes(b"half")
    aside = set_aside(path)
    assert not path.exists()
    assert aside.exists()
    assert load_all(tmp_path) == ([], [])


def test_some_files_only(tmp_path: Path, record: Record) -> None:
    paths = [save(tmp_path, seeded(record, seed)) for seed in (2, 1, 0)]
    assert load_all(tmp_path, paths[:2]) == ([seeded(record, 2), seeded(record, 1)], [])


def test_no_folder_means_no_records(tmp_path: Path) -> None:
    assert load_all(tmp_path / "nowhere") == ([], [])


hostile = st.text(max_size=300) | st.sampled_from(
    ["..", "../..", "/etc/passwd", "a/../../b", "~", "\0", "C:\\x", "", "é" * 300]
)


@given(hostile, hostile, hostile, hostile)
def test_no_name_leaves_the_root(backbone: str, method: str, suite: str, task: str) -> None:
    path = path_of(Path("/root"), Identity(backbone, method, suite, task, "common", 0))
    parts = path.relative_to("/root/runs").parts
    assert len(parts) == 4
    assert all(part.strip(".") and len(part.encode()) < 200 and "\0" not in part for part in parts)
    assert path == Path(os.path.normpath(path))


def test_names_with_one_slug_have_two_paths(record: Record) -> None:
    colon, dash = (Identity("b", method, "s", "t", "r", 0) for method in ("lora:rank=4", "lora-rank-4"))
    assert path_of(Path("results"), colon) != path_of(Path("results"), dash)


def test_frame_columns(record: Record) -> None:
    table = frame([record, seeded(record, 1)])
    assert list(table["seed"]) == [0, 1]
    assert list(table["method"]) == ["lora:rank=4"] * 2
    row = table.iloc[0]
    expected = {"backbone": "vit_b16", "suite": "vtab", "task": "dtd", "group": "natural", "test_accuracy": 0.5}
    expected |= {"trainable": 100, "recipe_precision": "fp32", "method_rank": 4, "where_device": "cpu", "status": "ok"}
    assert {name: row[name] for name in expected} == expected
    assert row["epoch_seconds"] == [1.0, 0.5]
    assert row["where_versions"] == {"torch": "2.11"}
    assert row["weights"] is None
    assert row["place"] == 0
    assert not {"identity", "score", "cost", "changes", "recipe_recipe"} & set(table.columns)
    assert frame([]).empty
