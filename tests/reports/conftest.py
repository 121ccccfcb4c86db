"""A small grid as it is left on disk: 7 methods, 6 tasks, 2 seeds, one method out of memory, one cell missing."""

import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from results import Cost, Identity, Record, Score, Where, frame, save

TASKS = {
    "cifar": ("natural", 100),
    "dtd": ("natural", 47),
    "eurosat": ("specialized", 10),
    "resisc45": ("specialized", 45),
    "clevr_count": ("structured", 8),
    "dsprites_loc": ("structured", 16),
}
METHODS = {  # accuracy, millions of trainable parameters, MiB
    "full": (0.69, 85.8, 10000),
    "linear": (0.58, 0.0, 880),
    "bitfit": (0.65, 0.103, 5900),
    "lora:rank=4": (0.75, 0.15, 6200),
    "vpt_deep:tokens=10": (0.72, 0.09, 6100),
    "dtl": (0.767, 0.04, 1700),
    "my_own": (0.76, 1.0, 2700),
}
EASIER = {"natural": 0.05, "specialized": 0.1, "structured": -0.15}
RECIPE = {
    "epochs": 100,
    "batch_size": 64,
    "precision": "fp32",
    "attention": "fused",
    "preprocessing": {"resize": 224, "interpolation": "bicubic"},
    "reported": "last",
    "learning_rate": 0.001,
}

Make = Callable[..., Record]


def scored(accuracy: float, classes: int) -> dict[str, Any]:
    """The scores beside accuracy of a method that is a little too sure, with ten test images a class."""
    right = [min(10, max(0, round(10 * accuracy) + (-1, 0, 1)[place % 3])) for place in range(classes)]
    rows = [[0] * classes for _ in right]
    for place, count in enumerate(right):
        rows[place][place] += count
        rows[place][(place + 1) % classes] += 10 - count
    images, sure = 10 * classes, min(1.0, accuracy + 0.1)
    return {
        "mean_class_accuracy": sum(right) / images,
        "negative_log_likelihood": 2 - accuracy,
        "calibration_error": 0.1,
        "calibration_bins": [[images / 15, (bin + 0.5) / 15 * images / 15, sure * bin / 15 * images / 15]
                             for bin in range(15)],
        "confusion": rows if classes <= 16 else None,
    }  # fmt: skip


@pytest.fixture(scope="session")
def make() -> Make:
    """A record, described by what matters to the test."""

    def make(
        method: str = "lora",
        task: str = "cifar",
        seed: int = 0,
        accuracy: float | None = 0.5,
        status: Any = "ok",
        recipe: Mapping[str, Any] | None = None,
        cost: Cost | None = None,
        group: str | None = None,
        device: str = "cpu",
        backbone: str = "vit_b16",
        suite: str = "demo",
        recipe_name: str = "common",
        weights: str | None = None,
        place: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> Record:
        resolved = RECIPE | (recipe or {})
        return Record(
            Identity(
                backbone, method, suite, task, recipe_name, seed, {"recipe": dict(recipe or {}), "weights": weights}
            ),
            group or TASKS.get(task, ("natural", 10))[0],
            TASKS.get(task, ("natural", 10))[1],
            dict(settings or {"rank": 4}),
            resolved,
            status,
            Score(
                accuracy if status == "ok" else None,
                **(scored(accuracy, TASKS.get(task, ("natural", 10))[1]) if status == "ok" and accuracy else {}),
                train_losses=[2.0, 1.2, 1.0 - (accuracy or 0) / 2],
                train_accuracies=[0.2, 0.5, 0.8 * (accuracy or 0)],
            ),
            cost
            or Cost(
                trainable=1000, trainable_without_head=100, planned_peak_bytes=2**30, epoch_seconds=[9.0, 1.0, 2.0]
            ),
            Where("2026-01-01", "abcdef0123", False, "python bench.py", device, None, {"torch": "2.11.0"}),
            None if status == "ok" else "needs 12 GiB",
            place,
        )

    return make


@pytest.fixture(scope="session")
def grid(make: Make) -> list[Record]:
    numbers = random.Random(0)
    records = []
    for method, (accuracy, millions, mebibytes) in METHODS.items():
        for task, (group, classes) in TASKS.items():
            for seed in (0, 1):
                if (method, task) == ("my_own", "dtd"):
                    continue
                own = round(millions * 1e6)
                score = accuracy + numbers.gauss(0, 0.01) + EASIER[group]
                cost = Cost(
                    own + 769 * classes, own, planned_peak_bytes=mebibytes * 2**20, epoch_seconds=[5.0, 1.0, 1.1]
                )
                status = "oom" if (method, task) == ("full", "clevr_count") else "ok"
                records.append(make(method, task, seed, score, status, cost=cost))
    return records


@pytest.fixture(scope="session")
def runs(grid: list[Record]) -> pd.DataFrame:
    return frame(grid)


@pytest.fixture
def root(tmp_path: Path, grid: list[Record]) -> Path:
    for record in grid:
        save(tmp_path / "results", record)
    return tmp_path / "results"
