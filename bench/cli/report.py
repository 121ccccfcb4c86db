"""What the reports of costs show: a report that is asked for by name has planned first what is not there yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.cli.cost import settle
from bench.cli.guard import say
from bench.cost.case import BACKBONE, Case, published_cases
from bench.runner.stale import current
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse_list
from results import load_costs, numbered

__all__ = ["plan_missing", "wanted"]

BATCHES = (1, 8, 512)  # the peak is a line in the batch, but for the few images beside which gradients weigh more


def plan_missing(reports: Sequence[str], root: Path, console: Console) -> None:
    """Plan what the reports show and `root` has no cost record of; nothing is measured, which takes the card."""
    known = {record.conditions for record in load_costs(root)[0] if current(record)}
    cases = dict.fromkeys(case for report in reports for case in wanted(report))
    if missing := [case for case in cases if case.conditions() not in known]:
        shows = f"{', '.join(reports)} {'shows' if len(reports) == 1 else 'show'}"
        costs = f"{numbered(len(missing), 'cost')} that {shows} {'is' if len(missing) == 1 else 'are'}"
        say(console, f"{costs} not in {root / 'cost'} yet: planned now, about a second each, and kept there")
        settle(missing, None, root, console)


def wanted(report: str) -> list[Case]:
    """The cases that a report shows; none for one that shows whatever there is."""
    return WANTED[report]() if report in WANTED else []


def _cases(specs: str, backbone: str = BACKBONE, checkpointing: bool = False, **fields: Any) -> list[Case]:
    recipe = Recipe(**fields)
    return [Case(find(backbone), method, recipe=recipe, checkpointing=checkpointing) for method in parse_list(specs)]


def _memory_ladder() -> list[Case]:
    """Every method with the default options; full fine-tuning too with eager attention, and option upon option."""
    return [
        *_cases("all"),
        *_cases("full", attention="eager"),
        *_cases("full", activations="ms_ln"),
        *_cases("full", activations="both"),
        *_cases("full", activations="both", checkpointing=True),
        *_cases("full", activations="both", checkpointing=True, optimizer="adamw8bit"),
    ]


def _backbones() -> list[Case]:
    """Every method on plain transformers of four sizes."""
    names = ("vit_small_patch16_224", "vit_base_patch16_224", "vit_large_patch16_224", "vit_huge_patch14_224")
    return [case for name in names for case in _cases("all", f"random:{name}")]


WANTED: dict[str, Callable[[], list[Case]]] = {
    "memory_published": lambda: [*published_cases("vpt"), *published_cases("dtl")],
    "lora_position": lambda: _cases("lora:layer=1..12"),
    "dtl_start": lambda: _cases("dtl:start=1..12,dtl_plus:start=1..12"),
    "inference_cost": lambda: published_cases("synqt"),
    "budget": lambda: [case for batch in BATCHES for case in _cases("all", batch_size=batch)],
    "memory_ladder": _memory_ladder,
    "accuracy_published": lambda: _cases("all"),
    "backbones": _backbones,
}
