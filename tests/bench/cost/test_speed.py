"""Timing, and the whole measuring path on a CPU."""

import csv
from pathlib import Path

import pytest
import torch

from bench.cost.case import Case
from bench.cost.measure import measure, training_step
from bench.cost.speed import Timing, timed
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SMALL, batch, learning, network_of
from tools.validate import COLUMNS, cases, main, summary


def test_the_median_the_range_and_whether_it_is_stable() -> None:
    timing = Timing.of([1.0] * 5 + [1.01] * 5 + [9.0])  # one straggler counts neither for the median nor the range
    assert timing.median == 1.01
    assert not timing.unstable
    assert timing.rate(64) == pytest.approx(64 / 1.01)
    assert timing.rates(64) == [64 / timing.high, 64 / timing.low]
    assert Timing.of([1.0, 1.0, 1.0, 2.0, 2.0]).unstable


def test_warm_up_steps_are_not_timed() -> None:
    calls = []
    timed(lambda: calls.append(1), torch.device("cpu"), warmup=3, steps=4)
    assert len(calls) == 7


@pytest.mark.parametrize("gradients", ["freed_before", "freed_after", "zeroed"])
def test_a_step_trains(gradients: str) -> None:
    from bench.cost.plan import Rules

    network = network_of("lora")
    before = [p.detach().clone() for p in learning(network)]
    step = training_step(network, *batch(), Recipe(), Rules(gradients=gradients))
    step()
    step()
    assert all(not torch.equal(*pair) for pair in zip(before, learning(network), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_measuring_leaves_the_random_numbers_alone(precision: str) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    case = Case(SMALL, parse("lora")[0], CLASSES, Recipe(batch_size=2, precision=precision))
    measured = measure(case, torch.device("cpu"), warmup=1, steps=3)
    assert measured.train_images_per_second > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_the_validation_writes_its_table_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--methods", "linear,lora", "--backbone", "random:small", "--device", "cpu", "--batch-sizes", "2"]
    main([*words, "--precisions", "fp32", "--out", str(tmp_path)])
    (path,) = tmp_path.glob("*.csv")
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["method"], row["attention"]) for row in rows] == [
        ("linear", "fused"), ("linear", "eager"), ("lora", "fused"), ("lora", "eager"),
    ]  # fmt: skip
    assert all(int(row["planned_peak_bytes"]) > 0 and row["peak_bytes"] == "" for row in rows)
    assert "without CUDA" in capsys.readouterr().out


def test_a_validation_in_two_calls_is_one_table(tmp_path: Path) -> None:
    words = ["--backbone", "random:small", "--device", "cpu", "--batch-sizes", "2", "--precisions", "fp32"]
    for methods in ("linear,bitfit", "linear"):
        main([*words, "--methods", methods, "--out", str(tmp_path)])
    with next(tmp_path.glob("*.csv")).open() as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["method"], row["attention"]) for row in rows) == [
        ("bitfit", "eager"), ("bitfit", "fused"), ("linear", "eager"), ("linear", "fused"),
    ]  # fmt: skip


def test_the_validation_covers_what_the_issue_asks_for() -> None:
    wanted = cases("full,lora", "random:small", [8, 64], ["fp32", "bf16"])
    assert len(wanted) == 2 * 2 * 2 * 2


def test_the_summary_names_the_worst_case() -> None:
    rows = [
        {"method": "lora", "precision": "fp32", "attention": "fused", "batch_size": 8, "difference": difference,
         "difference_without_workspaces": difference and difference / 2}
        for difference in (0.01, -0.04, None)
    ]  # fmt: skip
    assert "median error 2.5%" in summary(rows)
    assert "worst 4.0% (lora fp32 fused 8" in summary(rows)
    assert summary(rows).endswith("without cuBLAS's workspaces 1.2% and 2.0%")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_plan_meets_the_allocator() -> None:
    case = Case(SMALL, parse("full")[0], CLASSES, Recipe(batch_size=256))
    from bench.cost.record import cost_of

    figures = cost_of(case, torch.device("cuda")).figures
    own = figures.peak_bytes - figures.workspace_bytes  # of cuBLAS: 32 MiB and more on Hopper, which no plan has
    assert own == pytest.approx(figures.planned_peak_bytes, rel=0.1)
