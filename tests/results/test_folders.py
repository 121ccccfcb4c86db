"""Folders of results: checked file by file, exported as one table."""

import csv
import dataclasses
import json
import os
from pathlib import Path

import pytest
from pyarrow import parquet

import results
from results import Record, Score
from results.claims import Claims, claim_path
from results.frame import export
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
    (kept.parent / "older.json.forced").write_text("{}")
    with Claims().take(claim_path(tmp_path, running)):  # type: ignore[union-attr]
        before = files(tmp_path)
        found = verify(tmp_path)
        assert files(tmp_path) == before
    assert not found.sound()
    assert found.records == 2
    assert list(found.damaged) == [str(cut.relative_to(tmp_path))]
    assert [moved.name in reason for reason in found.misplaced.values()] == [True]
    assert (len(found.leftovers), len(found.set_aside), len(found.forced)) == (1, 1, 1)
    assert [f"by process {os.getpid()} on " in who for who in found.claimed.values()] == [True]


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
