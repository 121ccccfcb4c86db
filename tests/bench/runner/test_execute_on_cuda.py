"""Whole runs on a CUDA device that is not there: what is asked of torch.cuda, and what the record says of it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bench.features.reader
import bench.runner.execute
from bench.data.batches import on_device
from bench.features.store import Key, store_of
from bench.settings import RunSettings
from bench.train.network import build
from datasets.base import Split
from results import Cost, Record, Score
from tests.bench.pretend import pretended
from tests.bench.tiny import run
from tests.methods.small import SIZE

PEAK = 10**9
ANSWERS = {
    "device_count": 1,
    "get_device_name": "NVIDIA H200",
    "get_device_properties": SimpleNamespace(total_memory=141 * 10**9),
    "max_memory_allocated": PEAK,
    "max_memory_reserved": 2 * PEAK,
    "empty_cache": None,
    "reset_peak_memory_stats": None,
}


def test_a_run_whose_neighbour_kept_features(monkeypatch: pytest.MonkeyPatch) -> None:
    store_of.cache_clear()
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())
    monkeypatch.setattr("bench.runner.record.training_peaks", lambda *_: SimpleNamespace(allocated=1, reserved=None))
    monkeypatch.setattr(bench.runner.execute, "_load", load)
    monkeypatch.setattr(bench.features.reader, "key_of", lambda run, name, *_: Key(name, "", (), (), False, None))
    first = executed("linear", monkeypatch)
    second = executed("partial", monkeypatch, cache_features="off")
    assert (first.speedups.feature_cache, first.speedups.feature_cache_same) == ("device", True)
    assert first.cost.peak_bytes == 1  # of a fresh network
    assert first.speedups.cached_peak_bytes == PEAK
    assert second.cost.peak_bytes == PEAK - first.speedups.feature_cache_bytes
    assert second.cost.reserved_bytes == 2 * PEAK
    assert second.where.device == "NVIDIA H200"
    store_of.cache_clear()


def test_the_energy_of_training_is_that_between_its_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    readings = iter([5.0, 15.0, 100.0, 120.0, 900.0])  # start, end of epoch 1; start, end of epoch 2; a last start
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())
    monkeypatch.setattr(bench.runner.execute, "_load", load)
    monkeypatch.setattr("bench.cost.energy.joules", lambda device: next(readings) if device.type == "cuda" else None)
    record = executed("bitfit", monkeypatch, epochs=2, cache_features="off")
    assert record.cost.train_joules == 30.0  # what a test and the watcher took between the epochs is not of training
    assert next(readings, None) is None


def test_without_a_counter_a_record_has_no_energy() -> None:
    record = bench.runner.execute.execute(run(epochs=1), RunSettings(torch.device("cpu")))
    assert record.cost.train_seconds is not None
    assert record.cost.train_joules is None


def executed(spec: str, patch: pytest.MonkeyPatch, epochs: int = 1, **how: Any) -> Record:
    asked = run(spec, epochs=epochs, batch_size=12, precision="bf16")
    network = build(asked.backbone, asked.resolved, asked.task.classes, asked.recipe)
    patch.setattr(bench.runner.execute, "build", lambda *_: network)
    patch.setattr(bench.runner.execute, "score_of", lambda _: Score())  # there are no answers to make scores of
    with pytest.MonkeyPatch.context() as inner, pretended(inner):
        for name, answer in ANSWERS.items():
            inner.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
        return bench.runner.execute.execute(asked, RunSettings(torch.device("cuda"), **how))


def load(run: Any, how: RunSettings, trace: Any) -> tuple[Split, Split]:
    """Images of nothing, the training split on the device."""
    train, test = (
        Split(torch.zeros(count, 3, SIZE, SIZE, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64))
        for count in (12, 10)
    )
    return on_device(train, how.device), test
