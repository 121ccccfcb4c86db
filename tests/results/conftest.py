"""A record to start from; tests change what they are about."""

import pytest

from results import Cost, Identity, Record, Score, Where


@pytest.fixture
def record() -> Record:
    return Record(
        identity=Identity("vit_b16", "lora:rank=4", "vtab", "dtd", "common", 0, {"epochs": 3}),
        group="natural",
        classes=47,
        method={"rank": 4},
        recipe={"epochs": 3, "precision": "fp32"},
        status="ok",
        score=Score(0.5, None, [[1.0, 0.4], [3.0, 0.5]], [2.0, 1.5, 1.0]),
        cost=Cost(
            trainable=100, planned_peak_bytes=2**30, planned_breakdown={"weights": 512}, epoch_seconds=[1.0, 0.5]
        ),
        where=Where("2025-01-01T00:00:00Z", "abc", False, "python bench.py", "cpu", None, {"torch": "2.11"}),
    )
