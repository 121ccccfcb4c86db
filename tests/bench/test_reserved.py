"""Planned reserved memory: what the allocator takes for whole steps of a method."""

import pytest
import torch

from bench.caching_allocator import MIB, OutOfDeviceMemory
from bench.case import Case
from bench.cost import planned
from bench.meter import Block, Meter, Peak
from bench.plan import plan
from bench.reserved import LARGEST_WORKSPACE, reserved_peak, workspace_bytes
from methods import METHODS
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SMALL


def case(spec: str, **recipe: object) -> Case:
    return Case(SMALL, parse(spec)[0], CLASSES, Recipe(batch_size=4, **recipe))


def peak_of(asked: Case) -> Peak:
    return plan(asked.training(), asked.image_size, asked.recipe, asked.rules)


@pytest.mark.parametrize("spec", METHODS)
def test_every_method_reserves_its_peak_and_workspaces_in_whole_segments(spec: str) -> None:
    figures = planned(case(spec))
    assert figures.planned_reserved_bytes % (2 * MIB) == 0
    assert figures.planned_reserved_bytes >= figures.planned_peak_bytes + LARGEST_WORKSPACE
    smaller = planned(case(spec), workspace=8 * MIB).planned_reserved_bytes
    assert smaller < figures.planned_reserved_bytes


@pytest.mark.parametrize("spec", ["full", "lora", "linear", "dtl", "synqt"])
def test_more_steps_reserve_no_more(spec: str) -> None:
    peak = peak_of(case(spec, precision="bf16"))
    assert reserved_peak(peak) == reserved_peak(peak, steps=20)


def test_a_workspace_is_taken_by_each_thread_that_multiplies() -> None:
    peak = peak_of(case("full"))
    without = reserved_peak(peak, workspace=512)
    assert reserved_peak(peak, workspace=64 * MIB) - without == 128 * MIB


def test_a_card_smaller_than_what_is_reserved_may_still_do_and_one_below_the_peak_does_not() -> None:
    peak = peak_of(case("full"))
    assert reserved_peak(peak, limit=reserved_peak(peak)) == reserved_peak(peak)
    with pytest.raises(OutOfDeviceMemory):
        reserved_peak(peak, limit=peak.total)


def test_a_repeated_step_frees_what_the_step_before_made() -> None:
    old, new, passing = (Block(30 * MIB, "gradients") for _ in range(3))
    second = ((-1, old), (1, passing), (-1, passing), (1, new))
    peak = Peak(0, (), ((), ((1, old),), second))
    assert reserved_peak(peak, steps=2) == reserved_peak(peak, steps=9) == 30 * MIB


def test_what_is_left_over_by_every_step_adds_up() -> None:
    peak = Peak(0, (), ((), (), ((1, Block(30 * MIB, "activations")),)))
    assert [reserved_peak(peak, steps=steps) for steps in (1, 2, 5)] == [0, 30 * MIB, 120 * MIB]


def test_a_meter_keeps_the_history_that_its_peak_forgets() -> None:
    with Meter() as meter:
        kept = torch.zeros(256)
        meter.forget_past()
        passing = kept + 1
        del passing
        meter.forget_past()
    before, first, second = ([sign for sign, _ in part] for part in meter.peak().history)
    assert (before, first, second) == ([1], [1, -1], [])
    assert meter.peak().total == 1024


def test_the_workspace_of_a_card_is_data() -> None:
    assert workspace_bytes("NVIDIA H100 80GB HBM3") == 32 * MIB
    assert workspace_bytes("NVIDIA A100-SXM4-40GB") == 8320 * 1024
    assert workspace_bytes("a card of tomorrow") == LARGEST_WORKSPACE
