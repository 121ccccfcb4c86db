"""The comparison of cached and uncached training: what it times, and what it projects from that."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bench.runner.execute
import tools.side_by_side
from results import Cost, load_measured, save_measured
from tests.bench.tiny import run
from tools.side_by_side import compare, main, synthetic

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _no_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())


def test_a_whole_run_is_projected_from_epochs_and_the_features() -> None:
    row = compare(run("vqt"), CPU, epochs=50, sample=2)
    assert not row.timed
    assert row.stages == 1
    assert row.uncached_run_seconds == pytest.approx(50 * row.uncached_epoch_seconds)
    assert row.cached_run_seconds == pytest.approx(50 * row.cached_epoch_seconds + row.feature_seconds)
    assert row.feature_seconds >= 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", row.date)
    assert row.command.startswith("python ")
    assert row.feature_cache_bytes == 12 * 4 * (12 * 17 * 24 + 24)


def test_a_whole_run_can_be_timed_and_stages_count() -> None:
    row = compare(run("head2toe"), CPU, epochs=2, sample=2)
    assert row.timed
    assert row.stages == 2
    assert row.uncached_run_seconds > row.uncached_epoch_seconds > 0


def test_features_are_computed_again_for_every_method(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float | None] = []
    timed = tools.side_by_side._timed

    def watched(*given: Any) -> Any:
        found = timed(*given)
        seen.append(found.record.speedups.feature_cache_seconds)
        return found

    monkeypatch.setattr(tools.side_by_side, "_timed", watched)
    for _ in range(2):
        compare(run("linear"), CPU, epochs=4, sample=2)
        plain, cold, warm = seen[-3:]
        assert (plain, warm) == (None, 0)
        assert cold is not None
        assert cold > 0


def test_synthetic_images_are_those_that_were_asked_for() -> None:
    task = synthetic(5, 16).tasks[0]
    assert [(image.size, label) for image, label in task.source("train")] == [((16, 16), i) for i in range(5)]


def test_the_command_keeps_what_it_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = ["--methods", "linear,lora", "--on", "synthetic", "--backbone", "random:small", "--images", "4"]
    words += ["--batch-size", "2", "--epochs", "5", "--device", "cpu", "--results", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["side_by_side", *words])
    main()
    found = load_measured(tmp_path, "speed")
    assert found is not None
    assert found["method"].tolist() == ["linear", "lora"]
    assert found["feature_cache_bytes"].isna().tolist() == [False, True]
    assert (found["cached_run_seconds"] > 0).all()
    monkeypatch.setattr(sys, "argv", ["side_by_side", *words[2:], "--methods", "lst"])
    rows = [row for _, row in found.astype(object).where(found.notna(), None).iterrows()]
    others = [{**row, "suite": "other"} for row in rows] + [{**row, "device": "NVIDIA H200"} for row in rows[:1]]
    save_measured(tmp_path, "speed", [*others, {**rows[0], "device": "cpu (of another machine)"}])
    main()
    again = load_measured(tmp_path, "speed")
    assert again is not None
    assert again["suite"].tolist() == ["other", "other", "synthetic", "synthetic"]
    assert again["device"].tolist()[2] == "NVIDIA H200"
    assert again["method"].tolist()[3] == "lst"
