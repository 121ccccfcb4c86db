"""Planned reserved memory: what the allocator takes for whole steps of a method."""

import csv
import gzip
import json
from pathlib import Path

import pytest
import torch

from bench.cost import cuda_rules
from bench.cost.caching_allocator import MIB, CachingAllocator, OutOfDeviceMemory
from bench.cost.case import Case
from bench.cost.live_memory import Allocation, Meter, Peak
from bench.cost.plan import plan
from bench.cost.reserved import LARGEST_WORKSPACE, allocator_peaks, workspace_bytes
from methods import METHODS
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SMALL

RESULTS = Path(__file__).parent.parent.parent.parent / "results" / "measured"


def case(spec: str, **recipe: object) -> Case:
    return Case(SMALL, parse(spec)[0], CLASSES, Recipe(batch_size=4, **recipe))


def peak_of(asked: Case) -> Peak:
    return plan(asked.training(), asked.image_size, asked.recipe, asked.rules)


@pytest.mark.parametrize("spec", METHODS)
def test_every_method_reserves_its_peak_and_workspaces_in_whole_segments(spec: str) -> None:
    peak = peak_of(case(spec))
    reserved = allocator_peaks(peak).reserved
    assert reserved % (2 * MIB) == 0
    assert reserved >= peak.total + LARGEST_WORKSPACE
    assert allocator_peaks(peak, workspace=8 * MIB).reserved < reserved


@pytest.mark.parametrize("spec", ["full", "lora", "linear", "dtl", "synqt"])
def test_more_steps_reserve_no_more(spec: str) -> None:
    peak = peak_of(case(spec, precision="bf16"))
    assert allocator_peaks(peak).reserved == allocator_peaks(peak, steps=20).reserved


def test_a_workspace_is_taken_by_each_thread_that_multiplies() -> None:
    peak = peak_of(case("full"))
    without = allocator_peaks(peak, workspace=512).reserved
    assert allocator_peaks(peak, workspace=64 * MIB).reserved - without == 128 * MIB


def test_a_card_smaller_than_what_is_reserved_may_still_do_and_one_below_the_peak_does_not() -> None:
    peak = peak_of(case("full"))
    assert allocator_peaks(peak, limit=allocator_peaks(peak).reserved).reserved == allocator_peaks(peak).reserved
    with pytest.raises(OutOfDeviceMemory):
        allocator_peaks(peak, limit=peak.total)


def test_a_repeated_step_frees_what_the_step_before_made() -> None:
    old, new, passing = (Allocation(30 * MIB, "gradients") for _ in range(3))
    second = ((-1, old), (1, passing), (-1, passing), (1, new))
    peak = Peak(0, (), ((), ((1, old),), second))
    assert allocator_peaks(peak, steps=2).reserved == allocator_peaks(peak, steps=9).reserved == 30 * MIB


def test_what_is_left_over_by_every_step_adds_up() -> None:
    peak = Peak(0, (), ((), (), ((1, Allocation(30 * MIB, "activations")),)))
    assert [allocator_peaks(peak, steps=steps).reserved for steps in (1, 2, 5)] == [0, 30 * MIB, 120 * MIB]


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


def test_the_buffers_of_wide_sums_are_those_that_a_card_showed() -> None:
    """Bytes from the allocator's history on an H200: bias gradients of an MLP, in fp32 and in bf16."""
    wide = torch.empty(12608, 768, device="meta"), [0], True
    half = torch.empty(1576, 3072, device="meta", dtype=torch.bfloat16), [0], True
    assert cuda_rules.workspace_bytes(torch.ops.aten.sum.dim_IntList, wide) == 77_463_552
    assert cuda_rules.workspace_bytes(torch.ops.aten.sum.dim_IntList, half) == 39_321_600
    along = torch.empty(12608, 768, device="meta"), [1]
    assert cuda_rules.workspace_bytes(torch.ops.aten.sum.dim_IntList, along) == 0
    assert cuda_rules.workspace_bytes(torch.ops.aten.mul.Tensor, wide) == 0


def measured_cases() -> list[dict[str, str]]:
    """Rows of the memory that was measured on a card."""
    with (RESULTS / "gpu_memory.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["status"] == "ok"]


@pytest.mark.parametrize("path", sorted((RESULTS / "allocator").glob("*.json.gz")), ids=lambda path: path.stem)
def test_the_simulation_reserves_what_the_allocator_of_a_card_did(path: Path) -> None:
    history = json.loads(gzip.decompress(path.read_bytes()))
    allocator, addresses = CachingAllocator(), {}
    for action, address, size, _ in history["events"]:
        if action == "alloc":
            addresses[address] = allocator.allocate(size)
        elif action == "free_completed" and address in addresses:
            allocator.free(addresses.pop(address))
    same = ("method", "precision", "attention", "batch_size")
    wanted = [str(history["case"][key]) for key in same]
    row = next(row for row in measured_cases() if [row[key] for key in same] == wanted)
    assert allocator.peak_reserved_bytes == int(row["reserved_bytes"])
    assert allocator.peak_allocated_bytes == pytest.approx(int(row["allocated_bytes"]), rel=0.001)


@pytest.mark.parametrize(("spec", "precision"), [("full", "fp32"), ("bitfit", "fp32"), ("partial", "fp32")])
def test_plans_meet_a_card(spec: str, precision: str) -> None:
    """The allocator's peaks on an H200, ViT-B/16, batch 8: to a thousandth, where cuDNN does not work."""
    row = next(
        row for row in measured_cases()
        if (row["method"], row["precision"], row["batch_size"], row["attention"]) == (spec, precision, "8", "fused")
    )  # fmt: skip
    asked = Case(find(row["backbone"]), parse(spec)[0], recipe=Recipe(batch_size=8, precision=precision))
    peaks = allocator_peaks(peak_of(asked))
    assert peaks.allocated == pytest.approx(int(row["allocated_bytes"]), rel=0.003)
    assert peaks.reserved == pytest.approx(int(row["reserved_bytes"]), rel=0.02)
