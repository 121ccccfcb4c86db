"""Timing, and the whole measuring path on a CPU."""

import pytest
import torch

from bench.cost.case import Case
from bench.cost.measure import measure, training_step
from bench.cost.speed import Timing, timed
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SMALL, batch, learning, network_of


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_plan_meets_the_allocator() -> None:
    case = Case(SMALL, parse("full")[0], CLASSES, Recipe(batch_size=256))
    from bench.cost.record import cost_of

    figures = cost_of(case, torch.device("cuda")).figures
    own = figures.peak_bytes - figures.workspace_bytes  # of cuBLAS: 32 MiB and more on Hopper, which no plan has
    assert own == pytest.approx(figures.planned_peak_bytes, rel=0.1)
