"""Folders of results: checked file by file, merged without loss, exported as one table."""

import csv
import dataclasses
import json
from pathlib import Path

import pytest
from pyarrow import parquet

import results
from results import Record, Score
from results.claims import claim_path, take
from results.exporting import export
from results.merging import merge
from results.verify import verify


def seeded(record: Record, seed: int, accuracy: float = 0.5) -> Record:
    identity = dataclasses.replace(record.identity, seed=seed)
    return dataclasses.replace(record, identity=identity, score=Score(test_accuracy=accuracy, train_losses=[1.0, 0.5]))


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_sound_folder_is_sound(tmp_path: Path, record: Record) -> None:
    for seed in range(3):
        results.save(tmp_path, seeded(record, seed))
    found = verify(tmp_path)
    assert (found.records, found.sound()) == (3, True)


def test_everything_odd_is_named_and_nothing_is_touched(tmp_path: Path, record: Record) -> None:
    cut, moved, kept, running = (results.save(tmp_path, seeded(record, seed)) for seed in range(4))
    cut.write_bytes(cut.read_bytes()[:50])
    moved.rename(moved.with_name("elsewhere.json"))
    (kept.parent / f".{kept.name}-x1.tmp").write_text("half")
    (kept.parent / "old.json.damaged").write_text("half")
    take(claim_path(tmp_path, running))
    before = files(tmp_path)
    found = verify(tmp_path)
    assert not found.sound()
    assert found.records == 2
    assert list(found.damaged) == [str(cut.relative_to(tmp_path))]
    assert [moved.name in reason for reason in found.misplaced.values()] == [True]
    assert (len(found.leftovers), len(found.set_aside), len(found.claimed)) == (1, 1, 1)
    assert files(tmp_path) == before


def test_merging_takes_what_is_not_here_and_nothing_twice(tmp_path: Path, record: Record) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    results.save(ours, seeded(record, 0))
    for seed in (0, 1, 2):
        results.save(theirs, seeded(record, seed))
    merged = merge(ours, theirs)
    assert (len(merged.taken), merged.same, merged.differing, merged.damaged) == (2, 1, {}, [])
    assert verify(ours).records == 3
    assert merge(ours, theirs).same == 3


def test_another_result_of_the_same_run_never_takes_its_place(tmp_path: Path, record: Record) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    results.save(ours, seeded(record, 0, 0.25))
    results.save(theirs, seeded(record, 0, 0.75))
    before = files(ours)
    merged = merge(ours, theirs)
    assert files(ours) == before
    assert list(merged.differing.values()) == ["ok 25.00 % of 2025-01-01 here, ok 75.00 % of 2025-01-01 there"]


def test_a_damaged_record_is_not_taken_and_gives_way(tmp_path: Path, record: Record) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    broken = results.save(ours, seeded(record, 0))
    broken.write_text("half a rec")
    results.save(theirs, seeded(record, 0))
    results.save(theirs, seeded(record, 1)).write_text("{}")
    merged = merge(ours, theirs)
    assert (len(merged.taken), len(merged.damaged)) == (1, 1)
    assert results.load(broken).score.test_accuracy == 0.5
    assert broken.with_name(broken.name + ".damaged").read_text() == "half a rec"


@pytest.fixture
def mixed(record: Record) -> list[Record]:
    """The same setting as a number in one method and a word in another."""
    layers = (3, "all", None)
    return [dataclasses.replace(seeded(record, seed), method={"layer": layer}) for seed, layer in enumerate(layers)]


def test_parquet_has_a_row_a_run_and_a_typed_column_a_field(tmp_path: Path, mixed: list[Record]) -> None:
    assert export(mixed, tmp_path / "runs.parquet") == 3
    table = parquet.read_table(tmp_path / "runs.parquet").to_pydict()
    assert table["identity_seed"] == [0, 1, 2]
    assert table["score_test_accuracy"] == [0.5] * 3
    assert table["score_train_losses"] == [[1.0, 0.5]] * 3
    assert table["score_best_test_accuracy"] == [None] * 3
    assert table["cost_planned_breakdown_weights"] == [512] * 3
    assert table["method_layer"] == ["3", "all", None]


def test_csv_says_the_same(tmp_path: Path, mixed: list[Record]) -> None:
    assert export(mixed, tmp_path / "runs.csv") == 3
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["identity_seed"] for row in rows] == ["0", "1", "2"]
    assert [json.loads(row["score_train_losses"]) for row in rows] == [[1.0, 0.5]] * 3
    assert {row["score_best_test_accuracy"] for row in rows} == {""}
