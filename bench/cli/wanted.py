"""The cost records that a report needs, planned where they are missing or were made by other code."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import torch
from rich.console import Console

from bench.cli.cost import settle
from bench.cost.case import BACKBONE, Case, published_cases
from bench.cost.record import measurable
from bench.provenance import where
from bench.runner.stale import current
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse_list
from results import load_costs, numbered

__all__ = ["prepare", "wanted"]

BATCHES = (1, 8, 512)  # the peak is a line in the batch, but for the few images beside which gradients weigh more


def prepare(reports: Sequence[str], root: Path, console: Console) -> None:
    """Make what is missing for the reports, measured too where there is CUDA."""
    device = torch.device("cuda") if torch.cuda.is_available() else None
    name = None if device is None else where(device).device
    known = {(record.conditions, record.device) for record in load_costs(root)[0] if current(record)}
    cases = dict.fromkeys(case for report in reports for case in wanted(report))
    missing = [case for case in cases if (case.conditions(), name if measurable(case) else None) not in known]
    if missing:
        console.print(f"{numbered(len(missing), 'cost record')} to make first, about a second each", highlight=False)
        settle(missing, device, root, console)


def wanted(report: str) -> list[Case]:
    """The cases that a report shows; none for one that shows whatever there is."""
    return WANTED[report]() if report in WANTED else []


def _memory_published() -> list[Case]:
    return [*published_cases("vpt"), *published_cases("dtl")]


def _lora_position() -> list[Case]:
    return [Case(find(BACKBONE), method) for method in parse_list("lora:layer=1..12")]


def _dtl_start() -> list[Case]:
    return [Case(find(BACKBONE), method) for method in parse_list("dtl:start=1..12,dtl_plus:start=1..12")]


def _budget() -> list[Case]:
    backbone, methods = find(BACKBONE), parse_list("all")
    return [Case(backbone, method, recipe=Recipe(batch_size=batch)) for method, batch in product(methods, BATCHES)]


def _memory_ladder() -> list[Case]:
    """Every method with the default options; full fine-tuning too with eager attention, and option upon option."""
    backbone, (full,) = find(BACKBONE), parse_list("full")
    lean = [Recipe(activations="ms_ln"), Recipe(activations="both")]
    ladder = [
        *(Case(backbone, full, recipe=recipe) for recipe in [Recipe(attention="eager"), *lean]),
        Case(backbone, full, recipe=lean[-1], checkpointing=True),
        Case(backbone, full, recipe=dataclasses.replace(lean[-1], optimizer="adamw8bit"), checkpointing=True),
    ]
    return [*(Case(backbone, method) for method in parse_list("all")), *ladder]


def _accuracy_published() -> list[Case]:
    """Every method with the default options."""
    return [Case(find(BACKBONE), method) for method in parse_list("all")]


def _backbones() -> list[Case]:
    """Every method on plain transformers of four sizes."""
    names = ("vit_small_patch16_224", "vit_base_patch16_224", "vit_large_patch16_224", "vit_huge_patch14_224")
    return [Case(find(f"random:{name}"), method) for name in names for method in parse_list("all")]


WANTED: dict[str, Callable[[], list[Case]]] = {
    "memory_published": _memory_published,
    "lora_position": _lora_position,
    "dtl_start": _dtl_start,
    "inference_cost": lambda: published_cases("synqt"),
    "budget": _budget,
    "memory_ladder": _memory_ladder,
    "accuracy_published": _accuracy_published,
    "backbones": _backbones,
}
