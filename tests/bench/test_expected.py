"""The expected time: from like runs on a like device where there are some, else from a timed step."""

import dataclasses

import pytest
import torch

from bench.expected import expected_seconds
from bench.run import Run
from methods.backbone import ARCHITECTURES, find
from results import Cost, Record, Score, Where
from tests.bench.tiny import run, runs

CPU = torch.device("cpu")


def record(of: Run, train_seconds: float, test_seconds: float, status: str = "ok", device: str = "cpu (x)") -> Record:
    """Five epochs of 20 images, and a test of 50."""
    cost = Cost(epoch_seconds=[train_seconds / 5] * 5, train_seconds=train_seconds, test_seconds=test_seconds)
    return Record(
        identity=of.identity(),
        group="natural",
        classes=3,
        method={},
        recipe=dataclasses.asdict(of.recipe),
        status=status,
        score=Score(),
        cost=dataclasses.replace(cost, train_images=20, test_images=50),
        where=Where("2025-01-01", None, None, "python bench.py", device, None),
    )


def test_time_scales_with_the_images_of_like_runs() -> None:
    asked = run("linear", epochs=7)  # seven epochs of 12 images, and a test of 10
    records = [record(asked, train_seconds=100.0, test_seconds=5.0)]
    assert expected_seconds([asked, asked], records, CPU) == pytest.approx(2 * (7 * 12 * 1.0 + 10 * 0.1))


def test_a_batch_that_is_not_full_counts_as_one() -> None:
    asked = run("linear", epochs=1, batch_size=8)
    assert expected_seconds([asked], [record(asked, 100.0, 0.0)], CPU) == pytest.approx(16.0)


def test_the_median_of_like_runs_is_taken() -> None:
    asked = run("linear", epochs=1)
    records = [record(asked, seconds, 0.0) for seconds in (100.0, 200.0, 90_000.0)]
    assert expected_seconds([asked], records, CPU) == pytest.approx(24.0)


@pytest.mark.parametrize(
    "unlike",
    [
        {"device": "NVIDIA H200"},
        {"status": "oom"},
        {"of": run("full")},
        {"of": run("linear", precision="bf16")},
        {"of": dataclasses.replace(run(), backbone=find("random:demo"))},
    ],
)
def test_unlike_runs_say_nothing_and_a_step_is_timed(unlike: dict[str, object]) -> None:
    asked = run("linear", epochs=1)
    seconds = expected_seconds(
        [asked], [record(**{"of": asked, "train_seconds": 1e9, "test_seconds": 0.0, **unlike})], CPU
    )
    assert 0 < seconds < 60


def test_each_method_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []
    monkeypatch.setattr("bench.expected._timed", lambda run, _: timed.append(str(run.method)) or (1.0, 0.0))
    expected_seconds(runs("linear,lora", tasks=2, seeds=(0, 1)), [], CPU)
    assert timed == ["linear", "lora"]


def test_what_cannot_run_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "average", ARCHITECTURES["small"] | {"class_token": False, "global_pool": "avg"})
    asked = dataclasses.replace(run("vpt_deep"), backbone=find("random:average"))
    assert expected_seconds([asked], [], CPU) == 0


def test_nothing_left_takes_no_time() -> None:
    assert expected_seconds([], [], CPU) == 0
