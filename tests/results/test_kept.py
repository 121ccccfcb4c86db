"""Files beside a record: written whole, vouched for by the record, read back only if they are its own."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from results import (
    Damaged,
    NotKept,
    drop_unkept,
    frame,
    has_kept,
    kept_path,
    load_kept,
    path_of,
    root_of,
    save,
    save_kept,
)
from results.record import Record
from results.verify import verify


def test_arrays_come_back_and_the_record_vouches_for_them(record: Record, tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(3)}
    bare, record = (
        record,
        dataclasses.replace(record, kept={"weights": save_kept(tmp_path, record.identity, "weights", arrays)}),
    )
    back = load_kept(tmp_path, record, "weights")
    assert {name: array.tolist() for name, array in back.items()} == {"a": [[0, 1, 2], [3, 4, 5]], "b": 3}
    assert has_kept(tmp_path, record, "weights")
    assert not has_kept(tmp_path, bare, "weights")  # a run done again without keeping does not vouch for the old file
    with pytest.raises(NotKept, match="kept no features"):
        load_kept(tmp_path, record, "features")
    kept_path(tmp_path, record.identity, "weights", record.kept["weights"]).write_bytes(b"other")
    with pytest.raises(Damaged, match="does not match the checksum"):
        load_kept(tmp_path, record, "weights")


def test_the_file_stands_where_the_record_stands(record: Record, tmp_path: Path) -> None:
    path = save(tmp_path, record)
    kept = kept_path(tmp_path, record.identity, "features", "0123456789")
    assert kept.parent.relative_to(tmp_path / "kept") == path.parent.relative_to(tmp_path / "runs")
    assert kept.name == f"{path.stem}.features-01234567.safetensors"
    assert root_of(path_of(tmp_path, record.identity)) == tmp_path


def test_the_frame_names_the_file_of_the_features(record: Record, tmp_path: Path) -> None:
    checksum = save_kept(tmp_path, record.identity, "features", {"a": np.zeros(1)})
    kept = dataclasses.replace(record, kept={"features": checksum})
    assert frame([kept], tmp_path)["kept_checksum"].tolist() == [checksum]
    assert "kept_features" not in frame([record], tmp_path)
    assert "kept_features" not in frame([kept])


def test_what_an_older_record_vouches_for_stays_until_the_new_one_is_there(record: Record, tmp_path: Path) -> None:
    first, second = (save_kept(tmp_path, record.identity, "weights", {"a": np.full(1, value)}) for value in (1.0, 2.0))
    old, new = (dataclasses.replace(record, kept={"weights": checksum}) for checksum in (first, second))
    other = dataclasses.replace(old, identity=dataclasses.replace(record.identity, seed=1))
    save_kept(tmp_path, other.identity, "weights", {"a": np.full(1, 1.0)})
    assert [load_kept(tmp_path, each, "weights")["a"].item() for each in (old, new)] == [1.0, 2.0]
    drop_unkept(tmp_path, new)
    assert not has_kept(tmp_path, old, "weights")
    assert has_kept(tmp_path, new, "weights")
    assert has_kept(tmp_path, other, "weights")
    drop_unkept(tmp_path, record)
    assert not has_kept(tmp_path, new, "weights")


def test_checking_misses_what_was_kept(record: Record, tmp_path: Path) -> None:
    checksum = save_kept(tmp_path, record.identity, "weights", {"a": np.zeros(1)})
    save(tmp_path, dataclasses.replace(record, kept={"weights": checksum}))
    assert verify(tmp_path).sound()
    kept_path(tmp_path, record.identity, "weights", checksum).unlink()
    assert len(verify(tmp_path).missing) == 1
