"""Methods that train more than once: each stage to its end, the last one tested; penalties and rates of a network."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import bench.runner.execute
from bench.cost.plan import plan
from bench.data.batches import Normaliser
from bench.run import Run, plan_grid
from bench.runner.execute import execute
from bench.settings import RunSettings
from bench.train.evaluate import Answers
from bench.train.loop import Epoch, train
from bench.train.network import build_on_meta
from bench.train.step import loss_of
from datasets import Suite, Task
from datasets.base import Example, Split
from methods import Network
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, SMALL, network_of

CPU = torch.device("cpu")
HERE = RunSettings(CPU)
PLAIN = Normaliser.of((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), CPU)


def examples(split: str) -> Iterator[Example]:
    random = np.random.default_rng(0)
    for i in range(12):
        yield Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)), i % 3


TASK = Task("noise", "natural", 3, {"train": 12, "test": 12}, examples)
SUITE = Suite("noise", "Noise", ("natural",), (TASK,), "demo", "random:small")


def run(method: str, **recipe: Any) -> Run:
    values = {"epochs": 3, "batch_size": 4, **recipe}
    return plan_grid(SMALL, parse(method), SUITE, [TASK], "common", (0,), values)[0]


def split(images: int = 8) -> Split:
    random = torch.Generator().manual_seed(7)
    pixels = torch.randint(256, (images, 3, SIZE, SIZE), generator=random, dtype=torch.uint8)
    return Split(pixels, torch.randint(CLASSES, (images,), generator=random))


@pytest.mark.parametrize(("method", "stages"), [("linear", 1), ("vqt", 1), ("head2toe", 2), ("vqt:keep=0.5", 3)])
def test_every_stage_has_the_epochs_of_the_recipe_and_the_last_is_tested(method: str, stages: int) -> None:
    seen: list[Epoch] = []
    record = execute(run(method), HERE, seen.append)
    assert record.status == "ok"
    assert [epoch.number for epoch in seen] == [1, 2, 3] * stages
    assert len(record.score.train_losses) == len(record.cost.epoch_seconds) == 3 * stages
    assert [epoch for epoch, _ in record.score.evaluations] == [3 * stages]
    assert record.score.test_accuracy == record.score.evaluations[-1][1]


def test_a_stage_that_is_not_the_last_cannot_be_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([0.9, 0.5, 0.4, 0.3])
    monkeypatch.setattr(Answers, "accuracy", lambda _: next(values))
    score = execute(run("head2toe", epochs=4, evaluate_every=2), HERE).score
    assert [epoch for epoch, _ in score.evaluations] == [2, 6, 8]
    assert (score.best_test_accuracy, score.test_accuracy) == (0.5, 0.4)


def test_the_network_that_is_tested_is_that_of_the_last_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[Network] = []
    evaluate = bench.runner.execute.evaluate

    def spy(network: Network, *rest: Any) -> Answers:
        tested.append(network)
        return evaluate(network, *rest)

    monkeypatch.setattr(bench.runner.execute, "evaluate", spy)
    record = execute(run("head2toe:size=24:fraction=0.25"), HERE)
    features = 4 * 24 + 12 * (3 * 24 + 96)
    assert [network.head.in_features for network in tested] == [features // 4]
    assert record.cost.trainable == 3 * features + 3  # cost is that of the first stage


def test_a_penalty_is_part_of_the_loss() -> None:
    class Penalised(nn.Module):
        def regularization_loss(self) -> Tensor:
            return torch.tensor(2.0)

    logits, labels = torch.zeros(3, 5), torch.tensor([0, 1, 2])
    assert loss_of(Penalised(), logits, labels).item() == pytest.approx(np.log(5) + 2)
    assert loss_of(network_of("linear"), logits, labels).item() == pytest.approx(np.log(5))


def test_a_penalty_is_trained_away() -> None:
    norms = []
    for coefficient in (0, 1):
        network = network_of(f"head2toe:penalty={coefficient}")
        recipe = Recipe(epochs=5, batch_size=4, warmup_epochs=0, learning_rate=1e-3, weight_decay=0.0)
        train(network, split(), PLAIN, recipe, 0, lambda _: None)
        norms.append(network.head.weight.norm().item())
    assert norms[1] < 0.9 * norms[0]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_penalty_trains_in_half_precision(precision: str) -> None:
    recipe = Recipe(epochs=2, batch_size=4, warmup_epochs=0, precision=precision)
    network = network_of("head2toe")
    before = network.head.weight.clone()
    train(network, split(), PLAIN, recipe, 0, lambda _: None)
    assert network.head.weight.isfinite().all()
    assert not torch.equal(before, network.head.weight)


def test_the_plan_counts_a_penalty() -> None:
    recipe = Recipe(batch_size=4)
    with_one, without = (
        plan(build_on_meta(SMALL, parse(f"head2toe:penalty={p}")[0], 500, recipe), SIZE, recipe) for p in (1e-4, 0)
    )
    weight = 500 * (4 * 17 * 24 + 12 * (3 * 17 * 24 + 17 * 96)) * 4
    assert without.total <= with_one.total < without.total + 0.1 * weight


def test_a_network_may_train_at_a_share_of_the_rate() -> None:
    heads = []
    for rate in (0.0, 0.5, 1.0):
        network = network_of("linear")
        start = network.head.weight.clone()
        network.lr_scale = rate
        recipe = Recipe(epochs=1, batch_size=8, warmup_epochs=0, optimizer="sgd", learning_rate=1.0, weight_decay=0.0)
        train(network, split(), PLAIN, recipe, 0, lambda _: None)
        heads.append(network.head.weight - start)
    assert not heads[0].any()
    torch.testing.assert_close(2 * heads[1], heads[2], rtol=1e-4, atol=1e-7)


def test_a_run_that_diverges_in_a_later_stage_is_diverged(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.train.loop import Diverged

    calls = []

    def failing(*arguments: Any) -> None:
        calls.append(arguments[0])
        if len(calls) == 2:
            raise Diverged("the loss was nan in epoch 1 of 3")
        arguments[-1](Epoch(1, 0.5, 0.25, 2.0))

    monkeypatch.setattr(bench.runner.execute, "train", failing)
    record = execute(run("head2toe"), HERE)
    assert (record.status, record.reason) == ("diverged", "the loss was nan in epoch 1 of 3")
    assert record.score.test_accuracy is None
    assert dataclasses.asdict(record)["score"]["train_losses"] == [0.5]
