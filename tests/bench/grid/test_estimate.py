"""The expected time: from like runs on a like device where there are some, else by planned FLOPs, else unknown."""

import dataclasses

import pytest

from bench.grid import estimate
from bench.grid.estimate import estimates, measured_rates, recorded_rates, with_workers
from bench.run import Run
from methods.backbones.registry import ARCHITECTURES, find
from results import Conditions, Cost, CostRecord, Figures, Record, Score, Speedups, Where
from tests.bench.tiny import run


def expected_seconds(asked: list[Run], records: list[Record]) -> float:
    found = estimates(asked, recorded_rates(records, "cpu"))
    return sum(estimate.seconds for estimate in found if estimate)


def record(of: Run, train_seconds: float, test_seconds: float, status: str = "ok", device: str = "cpu (x)") -> Record:
    """Five epochs of 20 images, and a test of 50."""
    cost = Cost(epoch_seconds=[train_seconds / 5] * 5, train_seconds=train_seconds, test_seconds=test_seconds)
    return Record(
        identity=of.identity(),
        group="natural",
        classes=3,
        method={},
        recipe=dataclasses.asdict(of.recipe) | {"epochs": 5},
        status=status,
        score=Score(),
        cost=dataclasses.replace(cost, train_images=20, test_images=50),
        where=Where("2025-01-01", None, None, "python bench.py", device, None),
    )


def test_time_scales_with_the_images_of_like_runs() -> None:
    asked = run("linear", epochs=7)  # seven epochs of 12 images, and a test of 10
    records = [record(asked, train_seconds=100.0, test_seconds=5.0)]
    assert expected_seconds([asked, asked], records) == pytest.approx(2 * (7 * 12 * 1.0 + 10 * 0.1))


@pytest.mark.parametrize("batch_size", [8, 2048])
def test_a_batch_that_is_not_full_takes_its_share(batch_size: int) -> None:
    asked = run("linear", epochs=1, batch_size=batch_size)
    another = record(run("linear", epochs=1, batch_size=4), 100.0, 0.0)
    assert expected_seconds([asked], [another]) == pytest.approx(12.0)


def test_the_median_of_like_runs_is_taken() -> None:
    asked = run("linear", epochs=1)
    records = [record(asked, seconds, 0.0) for seconds in (100.0, 200.0, 90_000.0)]
    assert expected_seconds([asked], records) == pytest.approx(24.0)


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
def test_unlike_runs_say_nothing(unlike: dict[str, object]) -> None:
    asked = run("linear", epochs=1)
    records = [record(**{"of": asked, "train_seconds": 1e9, "test_seconds": 0.0, **unlike})]
    assert estimates([asked], recorded_rates(records, "cpu")) == [None]


def test_a_method_without_records_goes_at_the_speed_of_the_others_by_planned_flops() -> None:
    done, asked = run("lora", epochs=1), run("lora:layer=4", epochs=1)  # which has less to do, and the same test
    rates = recorded_rates([record(done, train_seconds=100.0, test_seconds=5.0)], "cpu")
    same, less = estimates([done, asked], rates)
    (alone,) = estimates([asked], rates, [done])
    assert same is not None
    assert less is not None
    assert less == alone
    assert "planned FLOPs" in less.source
    assert 1.0 < less.seconds < same.seconds == pytest.approx(12 * 1.0 + 10 * 0.1)


def test_kept_features_tell_of_like_runs_alone() -> None:
    done, other = run("linear", epochs=5), run("lora", epochs=5)
    kept = Speedups(feature_cache="host", feature_cache_seconds=100.0, test_cached=True)
    cached = dataclasses.replace(record(done, train_seconds=20.0, test_seconds=5.0), speedups=kept)
    like, unlike = estimates([done, other], recorded_rates([cached], "cpu"))
    assert unlike is None
    assert like is not None
    assert like.seconds == pytest.approx(5 * 12 * 1.2 + 10 * 0.1)
    assert like.source == "records of runs with kept features"
    like, unlike = estimates([done, other], recorded_rates([cached, record(done, 200.0, 5.0)], "cpu"))
    assert like is not None
    assert like.seconds == pytest.approx(5 * 12 * 2.0 + 10 * 0.1)
    assert unlike is not None


def test_planning_stops_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "PLANNING_SECONDS", 0.0)
    rates = recorded_rates([record(run("linear"), 1.0, 1.0)], "cpu")
    assert estimates([run("lora")], rates, [run("linear")]) == [None]


def test_what_cannot_run_takes_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "average", ARCHITECTURES["small"] | {"class_token": False, "global_pool": "avg"})
    asked, done = (dataclasses.replace(run(name), backbone=find("random:average")) for name in ("head2toe", "linear"))
    (found,) = estimates([asked], recorded_rates([record(done, 1.0, 1.0)], "cpu"), [done])
    assert found is not None
    assert found.seconds == 0


def test_nothing_left_takes_no_time() -> None:
    assert expected_seconds([], []) == 0


def test_every_stage_counts() -> None:
    """A record has the epochs of all stages; those of the recipe are what the next run is asked for."""
    asked = run("head2toe", epochs=5)
    there = record(asked, train_seconds=100.0, test_seconds=0.0)  # two stages of 50 s: 1 s an image in both together
    assert expected_seconds([asked], [there]) == pytest.approx(5 * 12 * 1.0)


@pytest.mark.parametrize(("method", "stages"), [("linear", 1), ("head2toe", 2), ("vqt", 1), ("vqt:keep=0.5", 3)])
def test_every_stage_takes_its_time_on_a_measured_device(method: str, stages: int) -> None:
    asked = run(method)
    (rate,) = measured_rates([asked], [measured(asked)], "NVIDIA H200").values()
    assert rate.train == pytest.approx(stages / 400)


def measured(of: Run, device: str = "NVIDIA H200", **changes: object) -> CostRecord:
    """400 images a second in training and 1000 in inference."""
    words = {"backbone": of.backbone.name, "method": str(of.resolved), "classes": 10, "batch_size": 4}
    words |= {"precision": "fp32", "attention": "fused", "optimizer": "adamw", "checkpointing": False}
    conditions = Conditions(**{**words, **changes})
    figures = Figures(train_images_per_second=400.0, inference_images_per_second=1000.0)
    place = Where("2025-01-01", None, None, "python bench.py", device, None)
    return CostRecord(conditions, {}, figures, "ok", None, "code", place)


def test_measured_steps_are_used_for_the_device_they_were_measured_on() -> None:
    asked = run("head2toe", epochs=10)
    rates = measured_rates([asked], [measured(asked)], "NVIDIA H200")
    (found,) = estimates([asked], rates)
    assert found is not None
    assert found.seconds == pytest.approx(10 * 12 * 2 / 400 + 10 / 1000)
    assert found.source == "measured steps"


@pytest.mark.parametrize("changes", [{"device": "NVIDIA A100"}, {"batch_size": 64}, {"method": "linear"}])
def test_steps_under_other_conditions_say_nothing(changes: dict[str, object]) -> None:
    asked = run("lora")
    rates = measured_rates([asked], [measured(asked, **changes)], "NVIDIA H200")
    assert estimates([asked], rates) == [None]


def test_workers_take_the_longest_first() -> None:
    assert with_workers([3, 1, 2, 6], 1) == 12
    assert with_workers([3, 1, 2, 6], 2) == 6
    assert with_workers([3, 1, 2, 6], 8) == 6
    assert with_workers([], 3) == 0
