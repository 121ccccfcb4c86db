"""What `bench.py cost` does with the words of a call: cases, their records on disk, and what is shown of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from bench.cli.guard import check_folder
from bench.cost.budget import FIXED, SHARE, bytes_of, largest_batch, needed, say, say_gainless, weight_bytes
from bench.cost.case import Case
from bench.cost.cuda_rules import Rules
from bench.cost.explain import largest_blocks, show_blocks
from bench.cost.record import cost_of
from bench.errors import UsageError
from bench.grid.request import device_of
from bench.names import check
from bench.runner.stale import current
from bench.train.network import build_on_meta
from methods import Unsupported
from methods.backbones.registry import find, resized
from methods.backbones.weights import WeightsError
from methods.recipe import Recipe
from methods.spec import parse_list
from results import CostRecord, load_costs, save_cost

__all__ = ["Answer", "CostRequest", "cases_of", "cost", "document", "settle", "show"]

Row = dict[str, Any]
LARGEST = 1_000_000  # images in a batch; beyond it the bytes of a tensor no longer fit a machine word
RULES = {"current": Rules(), "legacy": Rules("legacy", "zeroed")}  # PyTorch 1.7 zeroed gradients in place

FIELDS = ("batch_size", "precision", "attention", "optimizer", "activations", "optimizer_in_backward")  # of a recipe


@dataclass(frozen=True)
class CostRequest:
    """A call of `cost` as a user words it."""

    methods: str = "all"
    backbone: str = "random:vit_base_patch16_224"
    classes: int = 100
    batch_size: int = 64
    precision: str = "fp32"
    attention: str = "fused"
    optimizer: str = "adamw"
    checkpointing: bool = False
    autograd: str = "current"
    activations: str = ""
    optimizer_in_backward: bool = False
    image_size: int | None = None


@dataclass(frozen=True)
class Answer:
    """A record a case, and what was asked for beside it: the batch that fits, the largest tensors at the peak."""

    records: list[CostRecord]
    beside: list[Row]


def cases_of(request: CostRequest) -> list[Case]:
    """One for each method; raises UsageError."""
    _check("--batch-size", request.batch_size, LARGEST)
    _check("--classes", request.classes, LARGEST)
    for field, value in (("optimizer", request.optimizer), ("autograd", request.autograd)):
        known = list(RULES) if field == "autograd" else list(get_args(get_type_hints(Recipe)[field]))
        check(field, [value], known)
    try:
        backbone = resized(find(request.backbone), request.image_size)
        methods, recipe = parse_list(request.methods), _recipe(request)
        cases = [
            Case(backbone, method, request.classes, recipe, request.checkpointing, RULES[request.autograd])
            for method in methods
        ]
        for case in cases:
            _try(case)
    except (ValueError, WeightsError) as error:
        raise UsageError(str(error)) from error
    return cases


def _recipe(request: CostRequest) -> Recipe:
    fields: dict[str, Any] = {key: getattr(request, key) for key in FIELDS}
    return Recipe(**fields)


def _check(option: str, value: int, largest: int) -> None:
    if not 1 <= value <= largest:
        raise UsageError(f"{option} {value} cannot be planned; give a whole number from 1 to {largest}")


def _try(case: Case) -> None:
    """Attach without weights: ValueError for a setting that does not fit; what is unsupported is a result."""
    try:
        build_on_meta(case.backbone, case.method, case.classes, case.recipe)
    except Unsupported:
        return


def cost(
    request: CostRequest, device: str, planned: bool, explain: bool, budget: str | None, root: Path, console: Console
) -> Answer:
    """Plan, and measure where there is a device for it; raises UsageError before any work."""
    cases = cases_of(request)
    chosen_device = _device(device, planned)
    check_folder(root)
    beside: list[Row] = [{} for _ in cases]
    if budget is not None:
        cases, beside = _fit(cases, bytes_of(budget), budget, console)
    say((case.recipe for case in cases), console)
    records = settle(cases, chosen_device, root, console)
    say_gainless(cases, console)
    if explain:
        for case, record, row in zip(cases, records, beside, strict=True):
            row["largest"] = largest_blocks(case) if record.status == "ok" else []
    return Answer([_too_large(*pair) for pair in zip(records, beside, strict=True)], beside)


def settle(cases: Sequence[Case], device: torch.device | None, root: Path, console: Console) -> list[CostRecord]:
    """The records of all cases, each written as soon as it is known; what today's code has planned is there."""
    there = {record.conditions: record for record in load_costs(root)[0] if current(record) and not record.measured}
    records = []
    with _progress(console, "planning" if device is None else "measuring", len(cases)) as begin:
        for case in cases:
            begin(str(case.method))
            record = there.get(case.conditions()) if device is None else None
            if record is None:
                record = cost_of(case, device)
                save_cost(root, record)
            records.append(record)
    return records


def _device(name: str, planned: bool) -> torch.device | None:
    """None where nothing is measured: by request, or where `auto` finds no CUDA."""
    device = device_of(name)
    return None if planned or (name == "auto" and device.type == "cpu") else device


def _fit(cases: Sequence[Case], budget: int, text: str, console: Console) -> tuple[list[Case], list[Row]]:
    """The cases at the largest batch that fits each, or at one image where that is too much already."""
    _check_weights(cases, budget, text)
    fitted, beside = [], []
    with _progress(console, "fitting", len(cases)) as begin:
        for case in cases:
            begin(str(case.method))
            try:
                batch = largest_batch(case, budget)
            except Unsupported:
                batch = 0
            recipe = dataclasses.replace(case.recipe, batch_size=max(batch, 1))
            fitted.append(dataclasses.replace(case, recipe=recipe))
            beside.append({"budget_bytes": budget, "largest_batch_size": batch})
    return fitted, beside


def _check_weights(cases: Sequence[Case], budget: int, text: str) -> None:
    smallest = None
    for case in cases:
        try:
            smallest = min(smallest or weight_bytes(case), weight_bytes(case))
        except Unsupported:
            continue
    if smallest is not None and needed(smallest) > budget:
        weights, margin = smallest / 2**20, (needed(smallest) - smallest) / 2**20
        raise UsageError(
            f"--budget {text} is below what the weights take: {weights:.0f} MiB and a margin of {margin:.0f} MiB for "
            "the CUDA context and workspaces; give more, or take a smaller --backbone"
        )


def _too_large(record: CostRecord, beside: Row) -> CostRecord:
    """Out of memory is the result where not even one image fits the budget."""
    if record.status != "ok" or beside.get("largest_batch_size") != 0:
        return record
    needs = (record.figures.needed_bytes or 0) / 2**30
    return dataclasses.replace(record, status="oom", reason=f"one image needs {needs:.2f} GiB")


@contextmanager
def _progress(console: Console, word: str, total: int) -> Iterator[Callable[[str], None]]:
    """A bar that goes away, or plain lines without a terminal; `begin` names what is at work."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with bar:
        task, count = bar.add_task(word, total=total, completed=-1), itertools.count(1)

        def begin(name: str) -> None:
            bar.update(task, advance=1, description=f"{word} {escape(name)}")
            if not console.is_terminal:
                line = f"[{next(count)}/{total}] {word} {name}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)

        yield begin


def document(answer: Answer) -> str:
    """JSON: a list with a flat object for each case."""
    pairs = zip(answer.records, answer.beside, strict=True)
    rows = [record.row() | beside | {"where": dataclasses.asdict(record.where)} for record, beside in pairs]
    return json.dumps(rows, indent=1, allow_nan=False)


def show(answer: Answer, console: Console) -> None:
    """What was asked for beside the costs, as tables."""
    if any("largest_batch_size" in row for row in answer.beside):
        console.print(_fitting(answer))
    for record, row in zip(answer.records, answer.beside, strict=True):
        if "largest" in row:
            console.print(show_blocks(record.conditions.method, row["largest"]), "")


def _fitting(answer: Answer) -> Table:
    budget = answer.beside[0]["budget_bytes"] / 2**30
    margin = f"{100 * SHARE:.0f} % + {FIXED / 2**20:.0f} MiB"
    table = Table("method", title=f"largest batch on {budget:g} GiB, with a margin of {margin}", title_justify="left")
    for heading in ("batch", "planned peak, GiB", "planned reserved, GiB", "with margin, GiB"):
        table.add_column(heading, justify="right")
    for record, row in zip(answer.records, answer.beside, strict=True):
        figures = record.figures
        sizes = [figures.planned_peak_bytes, figures.planned_reserved_bytes, figures.needed_bytes]
        cells = [f"{size / 2**30:.2f}" if size else "" for size in sizes]
        batch = record.status if record.status == "unsupported" else str(row["largest_batch_size"])
        table.add_row(escape(record.conditions.method), batch, *cells)
    return table
