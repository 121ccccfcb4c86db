"""Planned against measured memory: every method, two batches, two precisions, on a fresh network each time.

What is farther from the plan than the bars allow is run once more with the allocator's history, and the tensors that
differ at the peak are listed. The histories are kept, so that a plan can be mended without a card.
"""

from __future__ import annotations

import copy
import dataclasses
import gzip
import json
import statistics
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import torch

from bench.cost.case import Case
from bench.cost.explain import Origins
from bench.cost.live_memory import GRAIN
from bench.cost.measure import Peaks, steps_peaks, training_step
from bench.cost.plan import plan
from bench.cost.record import planned
from bench.train.network import build
from methods import Network, Unsupported
from methods.recipe import Recipe
from results import Figures, slug
from tools.gpu.session import Row, Session, planners

__all__ = ["BARS", "compare_memory"]

PRECISIONS = ("fp32", "bf16")
EAGER = ("full", "lora", "vpt_deep")  # tried with explicit attention too
BARS = {"allocated": (0.02, 0.05), "reserved": (0.03, 0.10)}  # median and worst error
TRACED = 10  # cases at most whose history is kept
ALWAYS = (("full", "fp32"), ("lora", "bf16"), ("dtl", "fp32"))  # whose history is kept even within the bars


def compare_memory(session: Session) -> None:
    """Plan and measure, save after each method, then explain the worst cases."""
    rows: list[Row] = []
    cases = _cases(session)
    with planners(session.device) as pool:
        plans = {case: pool.submit(_planned, case) for case in cases}
        for method, attention in dict.fromkeys((case.method, case.recipe.attention) for case in cases):
            mine = [case for case in cases if (case.method, case.recipe.attention) == (method, attention)]
            with session.guarded("memory", str(method)):
                rows += _measured(session, mine, plans)
                session.save("memory", rows)
                session.say(_line(rows[-len(mine) :]))
            if session.left <= 0:
                session.say("memory: the time is over")
                break
        session.say(summary(rows))
        if session.device.type == "cuda":
            _explain(session, cases, rows, pool)


def summary(rows: Sequence[Row]) -> str:
    """Median and worst error of both peaks beside their bars."""
    parts = []
    for kind, (median, worst) in BARS.items():
        found = [row for row in rows if row.get(f"{kind}_error") is not None]
        about = ("method", "precision", "attention", "batch_size")
        errors = {" ".join(str(row[key]) for key in about): abs(row[f"{kind}_error"]) for row in found}
        if errors:
            name = max(errors, key=lambda key: errors[key])
            parts.append(
                f"{kind}: median {statistics.median(errors.values()):.1%} (bar {median:.0%}), "
                f"worst {errors[name]:.1%} ({name}; bar {worst:.0%})"
            )
    return "; ".join(parts) or "no memory was measured: there is no allocator to ask without CUDA"


def _cases(session: Session) -> list[Case]:
    """Fused attention for all methods, explicit attention for some."""
    pairs = [(method, "fused") for method in session.methods]
    pairs += [(method, "eager") for method in session.methods if method.name in EAGER]
    return [
        Case(session.backbone, method, recipe=Recipe(batch_size=batch, precision=precision, attention=attention))  # type: ignore[arg-type]
        for method, attention in pairs
        for batch in session.sizes.batches
        for precision in PRECISIONS
    ]


def _planned(case: Case) -> Figures | str:
    try:
        return planned(case)
    except Unsupported as error:
        return str(error)


def _measured(session: Session, cases: Sequence[Case], plans: dict[Case, Future[Figures | str]]) -> list[Row]:
    """One method's rows; its network is built once and copied for each case."""
    try:
        network = _network(cases[0])
    except Unsupported as error:
        return [{**_about(case), "status": "unsupported", "reason": str(error)} for case in cases]
    rows = []
    for case in cases:
        figures = plans[case].result()
        assert isinstance(figures, Figures), figures
        try:
            peaks = steps_peaks(_step(case, network, session.device), session.device)
            rows.append({**_about(case), "status": "ok", "reason": None, **_compared(figures, peaks)})
        except torch.OutOfMemoryError as error:
            rows.append({**_about(case), "status": "oom", "reason": str(error).splitlines()[0]})
    return rows


def _network(case: Case) -> Network:
    return build(dataclasses.replace(case.backbone, weights=None), case.method, case.classes, case.recipe)


def _step(case: Case, network: Network, device: torch.device) -> Any:
    """Gives a function that makes everything on the device, so that the allocator is empty before."""

    def made() -> Any:
        fresh = copy.deepcopy(network).to(device)
        size = case.image_size
        images = torch.randn(case.recipe.batch_size, 3, size, size, device=device)
        labels = torch.randint(case.classes, (case.recipe.batch_size,), device=device)
        return training_step(fresh, images, labels, case.recipe)

    return made


def _about(case: Case) -> Row:
    recipe = case.recipe
    return {
        "backbone": case.backbone.name,
        "method": str(case.method),
        "batch_size": recipe.batch_size,
        "precision": recipe.precision,
        "attention": recipe.attention,
    }


def _compared(figures: Figures, peaks: Peaks) -> Row:
    """Errors are shares of what was measured."""
    return {
        "planned_tensor_bytes": figures.planned_peak_bytes,
        "planned_allocated_bytes": figures.planned_allocated_bytes,
        "allocated_bytes": peaks.allocated,
        "workspace_bytes": peaks.workspaces,
        "allocated_error": _error(figures.planned_allocated_bytes, peaks.allocated),
        "planned_reserved_bytes": figures.planned_reserved_bytes,
        "reserved_bytes": peaks.reserved,
        "reserved_error": _error(figures.planned_reserved_bytes, peaks.reserved),
        "needed_bytes": figures.needed_bytes,
        "allocator_retries": peaks.retries,
    }


def _error(planned_bytes: int | None, measured: int | None) -> float | None:
    return None if planned_bytes is None or measured is None else planned_bytes / measured - 1


def _line(rows: Sequence[Row]) -> str:
    """The errors of one method, in per cent, by batch and precision."""

    def shown(row: Row) -> str:
        if row["status"] != "ok":
            return str(row["status"])
        errors = [row["allocated_error"], row["reserved_error"]]
        words = ["-" if error is None else f"{error:+.1%}" for error in errors]
        return f"{row['precision']} {row['batch_size']}: {' / '.join(words)}"

    return f"{rows[0]['method']} {rows[0]['attention']}: " + ", ".join(shown(row) for row in rows)


def _explain(session: Session, cases: Sequence[Case], rows: Sequence[Row], pool: Executor) -> None:
    """Histories of the worst cases, and what of them differs from the plan at the peak."""
    by_case = {(row["method"], row["attention"], row["precision"], row["batch_size"]): row for row in rows}

    def severity(case: Case) -> Any:
        row = by_case.get((str(case.method), case.recipe.attention, case.recipe.precision, case.recipe.batch_size), {})
        found = [abs(row.get(f"{kind}_error") or 0.0) / worst for kind, (_, worst) in BARS.items()]
        wanted = (case.method.name, case.recipe.precision) in ALWAYS and case.recipe.attention == "fused"
        return max(found) + (10.0 if wanted and case.recipe.batch_size == session.sizes.batches[0] else 0.0)

    chosen = sorted(cases, key=severity, reverse=True)[:TRACED]
    blocks = {case: pool.submit(_planned_blocks, case) for case in chosen if severity(case) > 0.5}
    found: list[Row] = []
    for case in blocks:
        if session.left <= 0:
            return
        with session.guarded("explain", str(case.method)):
            history = _history(session, case)
            found += [{**_about(case), **row} for row in _differences(history, blocks[case].result())]
            session.save("memory_differences", found)


def _planned_blocks(case: Case) -> list[tuple[int, str]]:
    """Bytes and origin of each tensor at the planned peak."""
    network = case.training()
    peak = plan(network, case.image_size, case.recipe, case.rules, Origins(network).now)
    return [(block.size, f"{block.kind} {block.module} {block.operator} {list(block.shape)}") for block in peak.blocks]


def _history(session: Session, case: Case) -> dict[str, Any]:
    """The allocator's events over the steps, oldest first, kept as compressed JSON."""
    network = _network(case)
    torch.cuda.memory._record_memory_history(enabled="all", context="alloc", stacks="python", max_entries=500_000)
    try:
        steps_peaks(_step(case, network, session.device), session.device)
        snapshot = torch.cuda.memory._snapshot(session.device.index or 0)
    finally:
        torch.cuda.memory._record_memory_history(enabled=None)
    events = next(trace for trace in snapshot["device_traces"] if trace)
    names: dict[str, int] = {}
    told = [
        [event["action"], event["addr"], event["size"], names.setdefault(_origin(event), len(names))]
        for event in events
    ]
    history: dict[str, Any] = {
        "case": _about(case),
        "device": torch.cuda.get_device_name(session.device),
        "torch": torch.__version__,
    }
    history |= {"columns": ["action", "address", "bytes", "origin"], "origins": list(names), "events": told}
    name = slug("-".join(str(value) for key, value in _about(case).items() if key != "backbone"))
    path = session.results / "measured" / "allocator" / f"{name}.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(json.dumps(history).encode(), mtime=0))
    return history


def _origin(event: dict[str, Any]) -> str:
    """The innermost line of timm or of this project that asked for the memory."""
    for frame in event.get("frames", ()):
        path = Path(frame["filename"])
        if {"timm", "methods", "bench"} & set(path.parts[:-1]) and path.name != "meter.py":
            return f"{path.name}:{frame['line']} {frame['name']}"
    return ""


def _differences(history: dict[str, Any], blocks: Sequence[tuple[int, str]]) -> list[Row]:
    """Sizes of which the peak holds another number than the plan, the heaviest first."""
    measured = _at_peak(history)
    sizes = Counter(size for size, _ in measured)
    sizes.subtract(Counter(size for size, _ in blocks))
    heavy = sorted((size for size, count in sizes.items() if count), key=lambda size: -abs(size * sizes[size]))
    return [
        {
            "bytes": size,
            "measured_more": sizes[size],
            "measured_origins": "; ".join(sorted({name for other, name in measured if other == size})),
            "planned_origins": "; ".join(sorted({name for other, name in blocks if other == size}))[:400],
        }
        for size in heavy[:12]
    ]


def _at_peak(history: dict[str, Any]) -> list[tuple[int, str]]:
    """Rounded bytes and origin of every allocation alive at the highest moment."""
    alive: dict[int, tuple[int, str]] = {}
    total = highest = 0
    peak: list[tuple[int, str]] = []
    for action, address, size, origin in history["events"]:
        if action == "alloc":
            rounded = -(-size // GRAIN) * GRAIN
            alive[address] = rounded, history["origins"][origin]
            total += rounded
            if total > highest:
                highest, peak = total, list(alive.values())
        elif action == "free_completed" and address in alive:
            total -= alive.pop(address)[0]
    return peak
