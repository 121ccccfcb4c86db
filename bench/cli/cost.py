"""What `bench.py cost` does, apart from reading its options: cases to records on disk and rows to show."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.cli.cost_request import CostRequest, cases_of
from bench.cli.guard import check_folder
from bench.cost.budget import bytes_of, largest_batch, weight_bytes
from bench.cost.case import Case
from bench.cost.explain import largest_blocks
from bench.cost.margin import needed
from bench.cost.memory_options import say, say_gainless
from bench.cost.record import cost_of
from bench.errors import WrongCall
from bench.grid.request import device_of
from bench.runner.stale import current
from methods import Unsupported
from results import CostRecord, load_costs, save_cost

__all__ = ["Answer", "cost", "settle"]

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Answer:
    """A record a case, and what was asked for beside it: the batch that fits, the largest tensors at the peak."""

    records: list[CostRecord]
    beside: list[Row]


def cost(
    request: CostRequest, device: str, planned: bool, explain: bool, budget: str | None, root: Path, console: Console
) -> Answer:
    """Plan, and measure where there is a device for it; raises WrongCall before any work."""
    cases = cases_of(request)
    place = _device(device, planned)
    check_folder(root)
    beside: list[Row] = [{} for _ in cases]
    if budget is not None:
        cases, beside = _fit(cases, bytes_of(budget), budget, console)
    say((case.recipe for case in cases), console)
    records = settle(cases, place, root, console)
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
        raise WrongCall(
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
