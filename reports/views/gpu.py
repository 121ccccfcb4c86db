"""What `make gpu` found on a card: plan against allocator, speed and energy, CUDA beside the CPU, the cache, hours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from reports.figures.gpu import draw_differences, draw_errors, draw_hours, draw_speed
from reports.tables.comparison import commits, values
from reports.tables.table import BILLIONS, MEBIBYTES, PERCENT, Cell, Column, Figure, Metric, Table
from reports.views.speed import beside_each_other
from results import numbered, slug

__all__ = ["report"]

Items = Sequence[Table | Figure]

# What `make gpu` is held to: median and worst error of the plan; utilisation; shares of another speed or time; hours.
MEMORY_BARS = {"allocated": (0.02, 0.05), "reserved": (0.03, 0.10)}
UTILISATION_BAR, INFERENCE_BAR, LOOP_BAR, HOURS_BAR = 0.40, 0.97, 1.05, 2.0
NO_SLOWER = ("lora", "bitfit", "vpt_deep")  # than full fine-tuning
TIMM = "(timm)"

COUNT = Metric("", "", 1.0, 0)
ERROR = Metric("error", "%", PERCENT, 2)
MIB = Metric("memory", "MiB", MEBIBYTES, 1)
RATE = Metric("speed", "images/s", 1.0, 0, "higher")
SECONDS = Metric("time", "s", 1.0, 2, "lower")
PLANNED, ALLOCATED, RESERVED = "planned", "allocated peak (MiB)", "reserved peak (MiB)"
CASE = (Column("batch_size", "batch", "", COUNT), Column("precision", "precision"), Column("attention", "attention"))
MEMORY = (
    Column("method", "method"),
    *CASE,
    Column("status", "status"),
    Column("planned_allocated_bytes", PLANNED, ALLOCATED, MIB, detail=True),
    Column("allocated_bytes", "measured", ALLOCATED, MIB),
    Column("allocated_error", "error (%)", ALLOCATED, ERROR),
    Column("planned_reserved_bytes", PLANNED, RESERVED, MIB, detail=True),
    Column("reserved_bytes", "measured", RESERVED, MIB),
    Column("reserved_error", "error (%)", RESERVED, ERROR),
    Column("needed_bytes", "card needed (MiB)", "", MIB, detail=True),
    Column("workspace_bytes", "cuBLAS workspaces (MiB)", "", MIB, detail=True),
    Column("allocator_retries", "retries", "", COUNT, detail=True),
)
SPEED = (
    Column("label", "method"),
    Column("status", "status"),
    Column("train_images_per_second", "median", "training (images/s)", RATE),
    Column("train_images_per_second_low", "10 %", "training (images/s)", RATE, detail=True),
    Column("train_images_per_second_high", "90 %", "training (images/s)", RATE, detail=True),
    Column("inference_images_per_second", "median", "inference (images/s)", RATE),
    Column("inference_images_per_second_low", "10 %", "inference (images/s)", RATE, detail=True),
    Column("inference_images_per_second_high", "90 %", "inference (images/s)", RATE, detail=True),
    Column("utilisation", "MFU (%)", "", Metric("utilisation", "%", PERCENT, 1, "higher")),
    Column("joules_per_image", "energy (J/image)", "", Metric("energy", "J", 1.0, 3, "lower")),
    Column("train_flops_per_image", "GFLOP/image", "", Metric("work", "GFLOP", BILLIONS, 1)),
    Column("first_step_seconds", "first step (s)", "", SECONDS),
)
QUANTITIES = {
    "train_images_per_second": "training (images/s)",
    "inference_images_per_second": "inference (images/s)",
    "utilisation_percent": "MFU, training (%)",
    "joules_per_image": "energy, training (J/image)",
}
ACCURACY = Metric("accuracy", "%", PERCENT, 1)
RUN = (
    Column("status", "status"),
    Column("planned_allocated_bytes", PLANNED, ALLOCATED, MIB, detail=True),
    Column("allocated_bytes", "measured", ALLOCATED, MIB),
    Column("reserved_bytes", "measured", RESERVED, MIB),
    Column("last_epoch_seconds", "last epoch (s)", "", SECONDS),
    Column("feature_cache", "features kept"),
    Column("feature_cache_reason", "why not", detail=True),
    Column("reason", "reason", detail=True),
)
EMBEDDED = (
    Column("method", "method"),
    Column("runs", "runs", "", COUNT),
    Column("finished", "finished", "", COUNT),
    Column("cpu_test_accuracy", "CPU", "test accuracy, mean (%)", ACCURACY),
    Column("test_accuracy", "CUDA", "test accuracy, mean (%)", ACCURACY),
    Column("accuracy_difference", "accuracy (points)", "largest difference", Metric("", "", PERCENT, 1)),
    Column("loss_difference", "training loss", "largest difference", Metric("", "", 1.0, 6)),
)
WAITS = (
    Column("method", "method"),
    Column("steps", "steps an epoch", "", COUNT),
    Column("waits_in_last_epoch", "waits in the last epoch", "", COUNT),
    Column("lines", "where", detail=True),
)
LOOP = (
    Column("method", "method"),
    Column("images", "images", "", COUNT),
    Column("batch_size", "batch", "", COUNT),
    Column("precision", "precision"),
    Column("bench_seconds", "the bench (s)"),
    Column("bare_seconds", "a bare loop (s)"),
    Column("ratio", "ratio, median of pairs", "", Metric("", "", 1.0, 3, "lower")),
)
HOURS = (
    Column("method", "method"),
    Column("train_hours", "training", "hours", Metric("hours", "h", 1.0, 3, "lower")),
    Column("test_hours", "testing", "hours", Metric("hours", "h", 1.0, 3, "lower")),
    Column("cached", "features kept"),
)
FAILURES = (Column("stage", "stage"), Column("what", "what"), Column("error", "error"))


def report(
    gpu_memory: pd.DataFrame | None = None,
    gpu_speed: pd.DataFrame | None = None,
    gpu_loop: pd.DataFrame | None = None,
    gpu_embedded: pd.DataFrame | None = None,
    gpu_vtab_task: pd.DataFrame | None = None,
    gpu_waiting: pd.DataFrame | None = None,
    gpu_cached: pd.DataFrame | None = None,
    gpu_hours: pd.DataFrame | None = None,
    gpu_failures: pd.DataFrame | None = None,
) -> list[Table | Figure]:
    """Tables and figures of what there is, device by device; a stage that never ran leaves out its own."""
    parts: list[tuple[str, pd.DataFrame | None, Callable[[str, pd.DataFrame], Items]]] = [
        ("memory", gpu_memory, _memory),
        ("speed", gpu_speed, _speed),
        ("loop", gpu_loop, _loop),
        ("embedded", gpu_embedded, _embedded),
        ("vtab-task", gpu_vtab_task, _vtab_task),
        ("waiting", gpu_waiting, _waiting),
        ("cached", gpu_cached, _cached),
        ("hours", gpu_hours, _hours),
        ("failures", gpu_failures, _failures),
    ]
    return [
        item
        for subject, rows, items in parts
        if rows is not None and len(rows)
        for device, part in rows.groupby("device", sort=False)
        for item in items(f"gpu-{subject}-{slug(str(device))}", part.reset_index(drop=True))
    ]


def _memory(name: str, rows: pd.DataFrame) -> Items:
    """Errors anew from the bytes, the largest of either kind first."""
    kinds = [kind for kind in MEMORY_BARS if {f"planned_{kind}_bytes", f"{kind}_bytes"} <= set(rows)]
    for kind in kinds:
        rows[f"{kind}_error"] = rows[f"planned_{kind}_bytes"].astype(float) / rows[f"{kind}_bytes"].astype(float) - 1
    found = {kind: rows.set_index(_case(rows))[f"{kind}_error"].dropna() for kind in kinds}
    errors = {kind: series for kind, series in found.items() if len(series)}
    worst = rows[[f"{kind}_error" for kind in kinds]].abs().max(axis=1)
    table_rows = rows.loc[worst.sort_values(ascending=False, kind="stable").index]
    caption = (
        f"Peaks of a training step on {_backbone(rows)}, planned without a device and "
        f"{'measured by the CUDA allocator' if errors else 'not measured'}; an error is planned over measured less "
        f"one. {_provenance(rows)}"
    )
    table = _table(f"{name}-table", caption, MEMORY, table_rows, [_held(kind, errors[kind]) for kind in errors])
    if not errors:
        return [table]
    seen = (
        "Each point is a method at one batch size, precision and attention; lines: what the median and the worst case "
        "are held to; named: what is beyond, or the farthest case. Colours are families of methods, as in all figures."
    )
    held = " ".join(_held(kind, errors[kind]) for kind in errors)
    return [Figure(name, f"{caption} {seen} {held}", draw_errors(errors, MEMORY_BARS)), table]


def _case(rows: pd.DataFrame) -> pd.Series:
    """Method, batch, precision, and attention where it is not fused."""
    eager = rows["attention"].map(lambda attention: "" if attention == "fused" else f" {attention}")
    return rows["method"] + " " + rows["batch_size"].astype(str) + " " + rows["precision"] + eager


def _held(kind: str, errors: pd.Series) -> str:
    median, worst = MEMORY_BARS[kind]
    sizes = errors.abs()
    return (
        f"{kind.capitalize()}: median error {sizes.median():.1%} (bar {median:.0%}), worst {sizes.max():.1%} "
        f"({sizes.idxmax()}; bar {worst:.0%}), {numbered(len(sizes), 'case')}."
    )


def _speed(name: str, rows: pd.DataFrame) -> Items:
    compiled = rows["compiled"].astype(bool) if "compiled" in rows else pd.Series(False, index=rows.index)
    rows["label"] = rows["method"] + compiled.map({True: " (compiled)", False: ""})
    ordered = rows.sort_values("train_images_per_second", ascending=False, na_position="last")
    caption = (
        f"A training step and a forward pass on {_backbone(rows)}, batch {_all(rows, 'batch_size')}, "
        f"{_all(rows, 'precision')}: images a second by the median step, bars from 10 to 90 % of the steps; MFU: FLOPs "
        f"of the model over the peak of the card; joules: what the whole card uses while it trains. {_provenance(rows)}"
    )
    table = _table(f"{name}-table", caption, SPEED, ordered, _speed_notes(rows))
    drawn = ordered[ordered["method"] != TIMM].assign(utilisation_percent=_numbers(ordered, "utilisation") * 100)
    drawn = drawn[drawn["train_images_per_second"].notna()].reset_index(drop=True)
    shown = {key: heading for key, heading in QUANTITIES.items() if key in drawn and drawn[key].notna().any()}
    if not shown:
        return [table]
    marks = {"utilisation_percent": (100 * UTILISATION_BAR, f"bar {UTILISATION_BAR:.0%}")}
    bare = _one(rows, TIMM, "inference_images_per_second")
    marks |= {"inference_images_per_second": (bare, "timm")} if bare is not None else {}
    return [Figure(name, caption, draw_speed(drawn, shown, marks)), table]


def _speed_notes(rows: pd.DataFrame) -> list[str]:
    """What the speeds are held to, and which steps were uneven."""
    notes = []
    if (used := _one(rows, "full (compiled)", "utilisation")) is not None:
        notes.append(f"Full fine-tuning, compiled: {used:.1%} MFU (bar: at least {UTILISATION_BAR:.0%}).")
    full = _one(rows, "full", "train_images_per_second")
    ratios = {method: _one(rows, method, "train_images_per_second") for method in NO_SLOWER}
    if full and (known := {method: speed / full for method, speed in ratios.items() if speed is not None}):
        said = ", ".join(f"{method} {ratio:.2f}" for method, ratio in known.items())
        notes.append(f"Training as fast as full fine-tuning: {said} times (bar: at least 1).")
    bare = _one(rows, TIMM, "inference_images_per_second")
    others = rows[(rows["method"] != TIMM) & _numbers(rows, "inference_images_per_second").notna()]
    if bare and len(others):
        slowest = others.sort_values("inference_images_per_second", kind="stable").iloc[0]
        ratio = slowest["inference_images_per_second"] / bare
        notes.append(
            f"Inference, slowest: {slowest['label']}, {ratio:.2f} of timm's (bar: at least {INFERENCE_BAR:g})."
        )
    for kind in ("train", "inference"):
        uneven = rows[rows[f"{kind}_unstable"].astype(str) == "True"] if f"{kind}_unstable" in rows else rows[:0]
        if len(uneven):
            notes.append(f"Uneven {kind} steps, range above 5 % of the median: {', '.join(uneven['label'])}.")
    return notes


def _loop(name: str, rows: pd.DataFrame) -> Items:
    for key in ("bench_seconds", "bare_seconds"):
        rows[key] = rows[key].astype(str).str.strip("[]")
    caption = (
        f"An epoch of the bench's training loop beside a loop written by hand, same network, images and optimiser, in "
        f"turn; the ratio is held to {LOOP_BAR:g}. {_provenance(rows)}"
    )
    return [_table(name, caption, LOOP, rows)]


def _embedded(name: str, rows: pd.DataFrame) -> Items:
    """Means over the tasks; the largest difference is of one task."""
    rows["accuracy_difference"] = (_numbers(rows, "test_accuracy") - _numbers(rows, "cpu_test_accuracy")).abs()
    parts = rows.groupby("method", sort=False)
    means = parts[["cpu_test_accuracy", "test_accuracy"]].mean()
    means = means.join(parts[["accuracy_difference", "loss_difference"]].max())
    means["runs"], means["finished"] = parts.size(), parts["status"].agg(lambda known: (known == "ok").sum())
    caption = (
        f"The embedded suite ({', '.join(values(rows, 'task'))}) by the command line on this device and on its "
        f"machine's CPU, same seeds, fp32. Methods with dropout draw other numbers on each device; the others' losses "
        f"differ by rounding alone. {_provenance(rows)}"
    )
    table = _table(f"{name}-table", caption, EMBEDDED, means.reset_index(), _failed(rows))
    drawn = rows[rows["accuracy_difference"].notna() & _numbers(rows, "loss_difference").notna()]
    return [*([Figure(name, caption, draw_differences(drawn))] if len(drawn) else []), table]


def _vtab_task(name: str, rows: pd.DataFrame) -> Items:
    caption = (
        f"A task of VTAB-1k's shape ({_all(rows, 'task')}) with drawn images by the command line, bf16, every method. "
        f"Accuracies mean nothing here; measured peaks include the images on the device. {_provenance(rows)}"
    )
    return [_table(name, caption, (Column("method", "method"), *RUN), rows)]


def _waiting(name: str, rows: pd.DataFrame) -> Items:
    waiting = rows[rows["within_steps"].astype(str) == "True"]["method"]
    found = f"steps of {', '.join(waiting)} wait" if len(waiting) else "no step waits"
    caption = (
        f"Calls that wait for the device in an epoch, counted by torch's watch on them: {found} for the device. Those "
        f"that there are belong to the start and the end of an epoch. {_provenance(rows)}"
    )
    return [_table(name, caption, WAITS, rows)]


def _cached(name: str, rows: pd.DataFrame) -> Items:
    caption = (
        f"Runs with and without kept features on {_backbone(rows)}, {_all(rows, 'images')} images of noise, batch "
        f"{_all(rows, 'batch_size')}, {_all(rows, 'precision')}, {_all(rows, 'epochs')} epochs, projected from timed "
        f"epochs, features computed once included. {_provenance(rows)}"
    )
    return beside_each_other(name, caption, rows)


def _hours(name: str, rows: pd.DataFrame) -> Items:
    ordered = rows.assign(total=rows["train_hours"] + rows["test_hours"]).sort_values("total", ascending=False)
    caption = (
        f"All methods on all of VTAB-1k (`--methods all --suite vtab`, recipe common, bf16), projected from the speeds "
        f"measured: {ordered['total'].sum():.2f} hours of this card for {numbered(len(rows), 'method')} "
        f"(target {HOURS_BAR:g}). {_provenance(rows)}"
    )
    table = _table(f"{name}-table", caption, HOURS, ordered)
    return [Figure(name, caption, draw_hours(ordered.reset_index(drop=True))), table]


def _failures(name: str, rows: pd.DataFrame) -> Items:
    return [_table(name, f"What failed; the traces are in the CSV. {_provenance(rows)}", FAILURES, rows)]


def _failed(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["status"] != "ok"]
    return [f"{row['method']} on {row['task']}: {row['status']} ({row['reason']})." for _, row in failed.iterrows()]


def _provenance(rows: pd.DataFrame) -> str:
    """Card, driver, versions, days, commit and command, of all that is known."""
    driver = f" (driver {_all(rows, 'driver')})" if values(rows, "driver") else ""
    versions = ", ".join(f"{name} {_all(rows, name)}" for name in ("python", "torch", "timm") if values(rows, name))
    days = ", ".join(dict.fromkeys(date[:10] for date in values(rows, "date")))
    commands = " and ".join(f"`{command}`" for command in values(rows, "command"))
    code = ", ".join(commits(rows, ""))
    return f"Measured on {_all(rows, 'device')}{driver}, {days}; {versions}; commit {code}; by {commands}."


def _backbone(rows: pd.DataFrame) -> str:
    return _all(rows, "backbone") or "the backbone"


def _all(rows: pd.DataFrame, column: str) -> str:
    return ", ".join(values(rows, column))


def _numbers(rows: pd.DataFrame, column: str) -> pd.Series:
    """A column as numbers; missing ones where it is not there."""
    return pd.to_numeric(rows[column], errors="coerce") if column in rows else pd.Series(float("nan"), index=rows.index)


def _one(rows: pd.DataFrame, label: str, column: str) -> float | None:
    found = _numbers(rows[rows["label"] == label], column).dropna()
    return float(found.iloc[0]) if len(found) else None


def _table(name: str, caption: str, columns: Sequence[Column], rows: pd.DataFrame, notes: Sequence[str] = ()) -> Table:
    """The columns of which something is known."""
    shown = [column for column in columns if column.key in rows]
    cells = [tuple(_cell(row[column.key], column.metric) for column in shown) for _, row in rows.iterrows()]
    return Table(name, caption, tuple(shown), tuple(cells), tuple(notes)).without_empty()


def _cell(value: Any, metric: Metric | None) -> Cell:
    if pd.isna(value):
        return Cell()
    if metric is None:
        return Cell(word=str(value))
    return Cell(float(value))
