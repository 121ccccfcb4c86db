"""Cost records on disk: what replaces what, what is damaged, and how they become a table."""

import dataclasses
import json
from pathlib import Path

import pytest

from results import Conditions, CostRecord, Figures, Where, cost_frame, load_costs, save_cost


@pytest.fixture
def planned() -> CostRecord:
    conditions = Conditions("vit_b16", "lora:rank=4", 100, 64, "fp32", "fused", "adamw", False)
    figures = Figures(trainable=100, planned_peak_bytes=2**30, planned_breakdown={"weights": 2**29})
    where = Where("2025-01-01T00:00:00Z", "abc", False, "python bench.py cost", "cpu", None, {"torch": "2.11"})
    return CostRecord(conditions, {"rank": 4}, figures, "ok", None, "c0de", where)


def on(record: CostRecord, device: str, peak: int) -> CostRecord:
    figures = dataclasses.replace(record.figures, peak_bytes=peak)
    return dataclasses.replace(
        record, figures=figures, measured=True, where=dataclasses.replace(record.where, device=device)
    )


def test_a_record_comes_back_as_it_was(planned: CostRecord, tmp_path: Path) -> None:
    save_cost(tmp_path, planned)
    assert load_costs(tmp_path) == ([planned], [])


def test_a_plan_replaces_a_plan_and_never_a_measurement(planned: CostRecord, tmp_path: Path) -> None:
    measured = on(planned, "NVIDIA H200", 2**31)
    for record in (planned, measured, planned, on(planned, "NVIDIA A100", 2**31)):
        save_cost(tmp_path, record)
    found, _ = load_costs(tmp_path)
    assert {record.device for record in found} == {None, "NVIDIA H200", "NVIDIA A100"}
    assert len(found) == 3


def test_the_table_prefers_what_was_measured(planned: CostRecord) -> None:
    other = dataclasses.replace(planned, conditions=dataclasses.replace(planned.conditions, method="full"))
    table = cost_frame([planned, on(planned, "NVIDIA H200", 2**31), other])
    assert sorted(zip(table["method"], table["peak_bytes"].notna(), strict=True)) == [
        ("full", False),
        ("lora:rank=4", True),
    ]
    assert list(table["planned_weights_bytes"]) == [2**29, 2**29]


@pytest.mark.parametrize("change", ["", "{}", '{"schema": 1}', '{"schema": 99}', "[" * 100_000])
def test_a_damaged_file_is_named_and_the_rest_is_read(planned: CostRecord, change: str, tmp_path: Path) -> None:
    path = save_cost(tmp_path, planned)
    path.with_name("other.json").write_text(change)
    found, (complaint,) = load_costs(tmp_path)
    assert found == [planned]
    assert "other.json" in complaint
    assert "delete it" in complaint


def test_an_unknown_field_is_no_record(planned: CostRecord, tmp_path: Path) -> None:
    path = save_cost(tmp_path, planned)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"surprise": 1}))
    assert load_costs(tmp_path)[0] == []


def test_numbers_of_other_code_are_set_aside_and_never_lost(planned: CostRecord, tmp_path: Path) -> None:
    olds = [dataclasses.replace(planned, code=code) for code in ("01d", "01de2")]
    path = [save_cost(tmp_path, record) for record in (*olds, planned)][-1]
    assert load_costs(tmp_path) == ([planned], [])
    aside = sorted(path.parent.glob("*.stale"))
    assert sorted(json.loads(file.read_text())["code"] for file in aside) == ["01d", "01de2"]
