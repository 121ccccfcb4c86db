"""A run gives a record: of what it scored and cost, or of why it could not."""

import dataclasses
from typing import Any

import pytest
import torch

import bench.runner.execute
from bench.runner.execute import execute, planned_cost
from bench.settings import RunSettings
from bench.train.loop import Epoch
from bench.train.network import build_on_meta, count
from methods.backbones.registry import ARCHITECTURES, find
from results import Record, load, save
from tests.bench.tiny import CLASSES, examples, run, task
from tests.methods.small import SMALL

CPU = RunSettings(torch.device("cpu"))


@pytest.fixture(scope="module")
def record() -> Record:
    return execute(run("lora", epochs=5, evaluate_every=2), CPU)


def test_a_run_is_tested_when_the_recipe_says_so_and_at_the_end(record: Record) -> None:
    assert [epoch for epoch, _ in record.score.evaluations] == [2, 4, 5]
    accuracies = [value for _, value in record.score.evaluations]
    assert record.score.test_accuracy == accuracies[-1]
    assert record.score.best_test_accuracy == max(accuracies)
    assert all(round(10 * value) == pytest.approx(10 * value) for value in accuracies)


def test_the_best_is_not_kept_where_only_the_last_epoch_is_tested() -> None:
    score = execute(run(epochs=3), CPU).score
    assert [epoch for epoch, _ in score.evaluations] == [3]
    assert score.best_test_accuracy is None
    assert score.test_accuracy is not None


def test_a_record_says_what_was_run(record: Record, tmp_path: Any) -> None:
    asked = run("lora", epochs=5, evaluate_every=2)
    assert (record.status, record.reason, record.group, record.classes) == ("ok", None, "natural", CLASSES)
    assert record.identity == asked.identity()
    assert record.method == dataclasses.asdict(asked.resolved)
    assert record.recipe == dataclasses.asdict(asked.recipe)
    assert load(save(tmp_path, record)) == record


def test_a_record_says_what_it_cost(record: Record) -> None:
    cost, asked = record.cost, run("lora", epochs=5, evaluate_every=2)
    counts = count(build_on_meta(SMALL, asked.resolved, CLASSES, asked.recipe))
    assert {name: getattr(cost, name) for name in dataclasses.asdict(counts)} == dataclasses.asdict(counts)
    assert sum(cost.planned_breakdown.values()) == cost.planned_peak_bytes > 4 * cost.total
    assert (cost.peak_bytes, cost.reserved_bytes) == (None, None)  # measured on CUDA only
    assert len(cost.epoch_seconds) == len(record.score.train_losses) == len(record.score.train_accuracies) == 5
    assert cost.train_seconds == sum(cost.epoch_seconds) > 0
    assert cost.test_seconds > 0
    assert (cost.train_images, cost.test_images) == (12, 10)


def test_the_seed_decides_the_score() -> None:
    first, again, other = (execute(run("lora", seed), CPU).score for seed in (0, 0, 1))
    assert first == again
    assert first.train_losses != other.train_losses


def test_colours_are_learned() -> None:
    assert execute(run("full", epochs=15, learning_rate=3e-3), CPU).score.test_accuracy >= 0.9


def test_the_watcher_is_told_of_every_epoch() -> None:
    epochs: list[Epoch] = []
    score = execute(run(epochs=3), CPU, epochs.append).score
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    assert [epoch.loss for epoch in epochs] == score.train_losses


def test_planning_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    wanted = run("vpt_deep", drop_path=0.1, backbone_dropout=0.1)
    planned_cost(wanted.backbone, wanted.resolved, wanted.task.classes, wanted.recipe)
    assert torch.equal(torch.get_rng_state(), before)


def test_divergence_is_a_result() -> None:
    record = execute(run("full", epochs=4, learning_rate=1e30, optimizer="sgd", warmup_epochs=0), CPU)
    assert record.status == "diverged"
    assert record.reason.startswith("the loss was ")
    assert record.score.test_accuracy is None
    assert record.cost.trainable > 0
    assert len(record.cost.epoch_seconds) < 4


def test_running_out_of_memory_is_a_result_and_keeps_what_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(*arguments: Any) -> None:
        arguments[-1](Epoch(1, 0.5, 0.25, 2.0))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nand a long explanation")

    monkeypatch.setattr(bench.runner.execute, "train", train)
    record = execute(run(epochs=2), CPU)
    assert (record.status, record.reason) == ("oom", "CUDA out of memory. Tried to allocate 2.00 GiB")
    assert record.score.test_accuracy is None
    assert record.score.train_losses == [0.5]
    assert record.cost.planned_peak_bytes > 0


def test_a_backbone_that_cannot_carry_the_method_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "average", ARCHITECTURES["small"] | {"class_token": False, "global_pool": "avg"})
    record = execute(dataclasses.replace(run("head2toe"), backbone=find("random:average")), CPU)
    assert (record.status, record.reason) == ("unsupported", "needs a class token and no other prefix token")
    assert record.cost.trainable is None
    assert record.cost.train_seconds is None
    assert record.score.test_accuracy is None


def test_anything_else_is_raised() -> None:
    broken = dataclasses.replace(task(), sizes={"train": 99, "test": 10})
    with pytest.raises(ValueError, match="should have 99 images but has 12"):
        execute(dataclasses.replace(run(), task=broken), CPU)


def test_a_record_has_the_scores_of_its_last_evaluation(record: Record) -> None:
    score = record.score
    confusion = score.confusion or []
    assert sum(confusion[place][place] for place in range(CLASSES)) / 10 == score.test_accuracy
    assert [sum(row) for row in confusion] == [4, 3, 3]
    assert (score.top5_accuracy, score.temperature) == (None, None)  # three classes, no validation images
    assert 0 < score.calibration_error < 1
    assert sum(images for images, _, _ in score.calibration_bins) == 10


def test_the_temperature_is_chosen_on_a_validation_list_beside_the_training_images() -> None:
    asked = run(epochs=1)
    seen: list[str] = []

    def source(split: str) -> Any:
        seen.append(split)
        return examples("test" if split == "val" else split)

    task_ = dataclasses.replace(asked.task, source=source, sizes={"train": 12, "test": 10, "val": 10})
    score = execute(dataclasses.replace(asked, task=task_), CPU).score
    assert seen == ["train", "test", "val"]
    assert score.temperature > 0
    assert len(score.calibrated_bins) == 15
    inside = dataclasses.replace(task_, sizes={**task_.sizes, "train800": 8})  # as VTAB-1k, which trains on them
    assert execute(dataclasses.replace(asked, task=inside), CPU).score.temperature is None
