"""A cost record: what it holds, under which conditions, and what it says when there is nothing to hold."""

import dataclasses

import pytest
import torch

from bench.cost.budget import FIXED, bytes_of, largest_batch, needed, needed_by, weight_bytes
from bench.cost.case import Case
from bench.cost.cuda_rules import Rules
from bench.cost.record import PARTS, cost_of
from bench.errors import UsageError
from bench.source_digest import planning_digest
from methods import METHODS
from methods.backbones.registry import Backbone, find
from methods.recipe import Recipe
from methods.spec import parse, parse_list
from tests.methods.small import CLASSES, SMALL

MIB = 2**20
VIT_B = find("random:vit_base_patch16_224")
WITHOUT_TOKEN = Backbone("random:vit_base_patch16_gap_224", "vit_base_patch16_gap_224", None, "")


def case(spec: str, **recipe: object) -> Case:
    return Case(SMALL, parse(spec)[0], CLASSES, Recipe(**recipe))


@pytest.mark.parametrize("spec", METHODS)
def test_everything_is_planned_for_every_method(spec: str) -> None:
    record = cost_of(case(spec, batch_size=4))
    figures = record.figures
    assert record.status == "ok"
    assert sum(figures.planned_breakdown.values()) == figures.planned_peak_bytes
    assert tuple(figures.planned_breakdown) == PARTS
    assert figures.macs > figures.macs_modules > 0
    assert figures.trainable >= figures.trainable_without_head
    assert figures.checkpoint_bytes == 4 * figures.trainable
    assert 0 < figures.inference_peak_bytes <= figures.planned_peak_bytes < figures.planned_reserved_bytes
    assert figures.peak_bytes is figures.reserved_bytes is figures.train_images_per_second is None
    assert record.conditions.method == spec
    assert record.settings == dataclasses.asdict(METHODS[spec]())
    assert record.code == planning_digest(spec)


def test_what_the_backbone_cannot_carry_is_a_result_with_a_reason() -> None:
    record = cost_of(Case(WITHOUT_TOKEN, parse("head2toe")[0]))
    assert record.status == "unsupported"
    assert "class token" in record.reason
    assert record.figures.planned_peak_bytes is None


def test_on_a_cpu_speed_is_measured_and_memory_is_not() -> None:
    figures = cost_of(case("lora", batch_size=2), torch.device("cpu")).figures
    low, high = figures.train_images_per_second_range
    assert 0 < low <= figures.train_images_per_second <= high
    assert figures.inference_images_per_second > 0
    assert figures.peak_bytes is None
    assert isinstance(figures.unstable, bool)


def test_lora_takes_less_the_higher_it_sits_by_the_same_amount() -> None:
    peaks = [cost_of(Case(VIT_B, method)).figures.planned_peak_bytes for method in parse_list("lora:layer=1..5")]
    steps = [low - high for low, high in zip(peaks[1:], peaks, strict=False)]
    assert all(step < 0 for step in steps)
    assert max(steps) == pytest.approx(min(steps), rel=0.01)


@pytest.mark.parametrize(
    ("text", "expected"), [("12GiB", 12 * 2**30), ("0.5 gib", 2**29), ("800MB", 800_000_000), ("3 MiB", 3 * 2**20)]
)
def test_an_amount_of_memory(text: str, expected: int) -> None:
    assert bytes_of(text) == expected


@pytest.mark.parametrize("text", ["12", "GiB", "-1GiB", "12 apples", ""])
def test_no_amount_of_memory(text: str) -> None:
    with pytest.raises(UsageError, match="write 12GiB"):
        bytes_of(text)


@pytest.mark.parametrize(
    ("spec", "budget"),
    [("full", FIXED + 96 * MIB), ("lora", FIXED + 240 * MIB), ("linear", FIXED + 120 * MIB), ("full", FIXED + MIB)],
)
def test_the_batch_that_fits_is_the_largest_one(spec: str, budget: int) -> None:
    asked = case(spec)
    batch = largest_batch(asked, budget)
    assert (batch == 0) == (budget == FIXED + MIB)  # less than the workspaces
    assert batch == 0 or needed_by(asked, batch) <= budget
    assert needed_by(asked, batch + 1) > budget


def test_the_margin_is_a_share_and_a_fixed_amount() -> None:
    assert needed(0) == FIXED == 512 * 2**20
    assert needed(100 * 2**20) == FIXED + 105 * 2**20
    asked = case("lora")
    figures = cost_of(asked).figures
    assert figures.needed_bytes == needed(figures.planned_reserved_bytes) == needed_by(asked, asked.recipe.batch_size)
    assert weight_bytes(asked) < figures.planned_peak_bytes < figures.planned_allocated_bytes


def test_conditions_tell_cases_apart() -> None:
    cases = [
        case("lora"), case("lora", batch_size=8), case("lora", precision="bf16"), case("lora", attention="eager"),
        case("lora", optimizer="sgd"), case("lora:rank=4"), dataclasses.replace(case("lora"), checkpointing=True),
        dataclasses.replace(case("lora"), rules=Rules("legacy", "zeroed")),
        dataclasses.replace(case("lora"), protocol="vpt"),
    ]  # fmt: skip
    assert len({asked.conditions().digest() for asked in cases}) == len(cases)
