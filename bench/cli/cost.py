"""What `bench.py cost` does with the words of a call: cases, their records on disk, and what is shown of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from bench.cli.guard import check_folder, say
from bench.cost.budget import FIXED, SHARE, bytes_of, largest_batch, needed, say_gainless, weight_bytes
from bench.cost.budget import say as say_effects
from bench.cost.case import Case
from bench.cost.cuda_rules import Rules
from bench.cost.explain import largest_blocks, show_blocks
from bench.cost.record import cost_of
from bench.errors import UsageError
from bench.grid.request import by_option, check_options, device_of
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
RULES = {"current": Rules(), "legacy": Rules("legacy", "zeroed")}  # PyTorch 1.7 zeroed gradients in place


@dataclass(frozen=True)
class CostRequest:
    """A call of `cost` as a user words it."""

    methods: str = "all"
    backbone: str = "random:vit_base_patch16_224"
    image_size: int | None = None
    classes: int = 100
    recipe: Mapping[str, Any] = field(default_factory=dict)  # fields of one that have an option
    checkpointing: bool = False
    autograd: Literal["current", "legacy"] = "current"
    device: str = "auto"
    planned: bool = False  # measure nothing
    explain: bool = False
    budget: str | None = None


@dataclass(frozen=True)
class Answer:
    """A record a case, and what was asked for beside it: the batch that fits, the largest tensors at the peak."""

    records: list[CostRecord]
    beside: list[Row]


def cases_of(request: CostRequest) -> list[Case]:
    """Make one case for each method; raises UsageError."""
    try:
        check_options(request.recipe)
        backbone, recipe = resized(find(request.backbone), request.image_size), Recipe(**request.recipe)
        rules = RULES[request.autograd]
        cases = [
            Case(backbone, method, request.classes, recipe, request.checkpointing, rules)
            for method in parse_list(request.methods)
        ]
        for case in cases:
            _try(case)
    except (ValueError, WeightsError) as error:
        raise UsageError(by_option(error, request.recipe)) from error
    return cases


def _try(case: Case) -> None:
    """Attach without weights: ValueError for a setting that does not fit; what is unsupported is a result."""
    try:
        build_on_meta(case.backbone, case.method, case.classes, case.recipe)
    except Unsupported:
        return


def cost(request: CostRequest, root: Path, console: Console) -> Answer:
    """Plan, and measure where there is a device for it; raises UsageError before any work."""
    cases = cases_of(request)
    device = device_of(request.device)
    measured = not request.planned and (request.device != "auto" or device.type != "cpu")
    check_folder(root)
    beside: list[Row] = [{} for _ in cases]
    if request.budget is not None:
        cases, beside = _fit(cases, request.budget, console)
    say_effects((case.recipe for case in cases), console)
    records = settle(cases, device if measured else None, root, console)
    say_gainless(cases, console)
    if request.explain:
        for case, record, row in zip(cases, records, beside, strict=True):
            row["largest"] = largest_blocks(case) if record.status == "ok" else []
    return Answer([_too_large(*pair) for pair in zip(records, beside, strict=True)], beside)


def settle(cases: Sequence[Case], device: torch.device | None, root: Path, console: Console) -> list[CostRecord]:
    """Return the records of all cases, each written as soon as it is known; what today's code has planned is there."""
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


def _fit(cases: Sequence[Case], text: str, console: Console) -> tuple[list[Case], list[Row]]:
    """Return the cases at the largest batch that fits each, or at one image where that is too much already."""
    budget = bytes_of(text)
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
    """Show a bar that goes away, or plain lines without a terminal; `begin` names what is at work."""
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
                say(console, line)

        yield begin


def document(answer: Answer) -> str:
    """JSON: a list with a flat object for each case."""
    pairs = zip(answer.records, answer.beside, strict=True)
    rows = [record.row() | beside | {"where": dataclasses.asdict(record.where)} for record, beside in pairs]
    return json.dumps(rows, indent=1, allow_nan=False)


def show(answer: Answer, console: Console) -> None:
    """Show what was asked for beside the costs, as tables."""
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
