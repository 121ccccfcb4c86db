"""Whole runs on a CUDA device that is not there: what is asked of torch.cuda, and what the record says of it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

import bench.execute
import bench.feed
from bench.data import on_device
from bench.execution import Execution
from bench.features import Key, store_of
from bench.networks import build
from datasets.base import Split
from results import Cost, Record
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
    monkeypatch.setattr(bench.execute, "planned_cost", lambda *_: Cost())
    monkeypatch.setattr("bench.recorded.training_peaks", lambda *_: SimpleNamespace(allocated=1, reserved=None))
    monkeypatch.setattr(bench.execute, "_load", load)
    monkeypatch.setattr(bench.feed, "key_of", lambda run, name, *_: Key(name, "", (), (), False, None))
    first = executed("linear", monkeypatch)
    second = executed("partial", monkeypatch, cache_features="off")
    assert (first.speedups.feature_cache, first.speedups.feature_cache_same) == ("device", True)
    assert first.cost.peak_bytes == 1  # of a fresh network
    assert first.speedups.cached_peak_bytes == PEAK
    assert second.cost.peak_bytes == PEAK - first.speedups.feature_cache_bytes
    assert second.cost.reserved_bytes == 2 * PEAK
    assert second.where.device == "NVIDIA H200"
    store_of.cache_clear()


def executed(spec: str, patch: pytest.MonkeyPatch, **how: Any) -> Record:
    asked = run(spec, epochs=1, batch_size=12, precision="bf16")
    network = build(asked.backbone, asked.resolved, asked.task.classes, asked.recipe)
    patch.setattr(bench.execute, "build", lambda *_: network)
    with pytest.MonkeyPatch.context() as inner, pretended(inner):
        for name, answer in ANSWERS.items():
            inner.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
        return bench.execute.execute(asked, Execution(torch.device("cuda"), **how))


def load(run: Any, how: Execution, trace: Any) -> tuple[Split, Split]:
    """Images of nothing, the training split on the device."""
    train, test = (
        Split(torch.zeros(count, 3, SIZE, SIZE, dtype=torch.uint8), torch.zeros(count, dtype=torch.int64))
        for count in (12, 10)
    )
    return on_device(train, how.device), test
