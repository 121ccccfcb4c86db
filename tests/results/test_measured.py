"""Measured numbers come back as they were written, and are missing where they were not measured."""

from pathlib import Path

import pandas as pd

from results import load_measured, save_measured


def test_rows_come_back(tmp_path: Path) -> None:
    rows = [{"method": "lst", "seconds": 0.25, "bytes": 12}, {"method": "lora:layer=1", "seconds": 1.5, "bytes": None}]
    path = save_measured(tmp_path, "speed", rows)
    assert path == tmp_path / "measured" / "speed.csv"
    found = load_measured(tmp_path, "speed")
    assert found is not None
    assert found["method"].tolist() == ["lst", "lora:layer=1"]
    assert found["seconds"].tolist() == [0.25, 1.5]
    assert found["bytes"][0] == 12
    assert pd.isna(found["bytes"][1])


def test_older_rows_may_lack_what_newer_ones_have(tmp_path: Path) -> None:
    save_measured(tmp_path, "speed", [{"method": "lst"}, {"method": "vqt", "date": "2026-11-20"}])
    found = load_measured(tmp_path, "speed")
    assert found is not None
    assert found["method"].tolist() == ["lst", "vqt"]
    assert found["date"].isna().tolist() == [True, False]


def test_what_was_not_measured_is_none(tmp_path: Path) -> None:
    assert load_measured(tmp_path, "speed") is None
