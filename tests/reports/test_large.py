"""Ten thousand records must be reported in twenty seconds: here the share of a few hundred, in processor time."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from reports.protocol import comparisons
from reports.summary import summaries
from results import Record, Score, frame, load_all, save
from tests.reports.from_print import CLASSES, TASKS, cost_of, record

METHODS = ["full", "linear", "bitfit", "lora", "dtl", "lst", "vqt", "synqt"]
EACH = 1.2e-3  # seconds, of the 2e-3 that there are; drawing takes the rest


def long(method: str, task: str, seed: int) -> Record:
    """A run of a hundred epochs, whose losses make most of its file."""
    group, place = TASKS[task]
    made = record(method, task, 0.7, group=group, place=place, seed=seed, cost=cost_of(method, CLASSES[place]))
    numbers = [seed + n / 7 for n in range(100)]
    score = Score(0.7, None, [[float(n), n / 100] for n in range(10, 101, 10)], numbers, numbers)
    return Record(**{**vars(made), "score": score})


def quickest(work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(4):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def test_reading_checking_and_summing_up_is_quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    records = [long(method, task, seed) for method in METHODS for task in TASKS for seed in (0, 1)]
    for each in records:
        save(tmp_path, each)

    def work() -> None:
        read, complaints = load_all(tmp_path)
        assert not complaints
        assert [len(summaries(comparison)) for comparison in comparisons(frame(read, tmp_path))] == [len(METHODS)]

    assert quickest(work) < EACH * len(records)
