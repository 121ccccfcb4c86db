"""The plan against the allocator: every method, precision, attention kernel and batch, as one CSV.

`python -m tools.validate` needs CUDA for the memory columns; `--device cpu` tries the same path with speeds alone.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import statistics
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bench.cost.case import Case
from bench.cost.record import cost_of
from bench.errors import WrongCall
from bench.grid.request import device_of
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse_list
from results import CostRecord, slug, write_whole

__all__ = ["cases", "summary", "table"]

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = (
    "backbone", "method", "classes", "batch_size", "precision", "attention", "optimizer", "status", "reason",
    "planned_peak_bytes", "peak_bytes", "difference", "workspace_bytes", "difference_without_workspaces",
    "reserved_bytes", "allocator_retries",
    "inference_peak_bytes", "measured_inference_peak_bytes", "inference_difference",
    "train_images_per_second", "train_images_per_second_low", "train_images_per_second_high",
    "utilisation",
    "inference_images_per_second", "inference_images_per_second_low", "inference_images_per_second_high", "unstable",
    "device", "driver", "torch", "timm", "commit", "dirty", "date",
)  # fmt: skip
TARGET_MEDIAN, TARGET_WORST = 0.02, 0.05
ASKED = ("backbone", "method", "classes", "batch_size", "precision", "attention", "optimizer")
Row = dict[str, Any]


def cases(methods: str, backbone: str, batches: Iterable[int], precisions: Iterable[str]) -> list[Case]:
    """All combinations, with fused and with explicit attention."""
    found, parsed = find(backbone), parse_list(methods)
    return [
        Case(found, method, recipe=Recipe(batch_size=batch, precision=precision, attention=attention))  # type: ignore[arg-type]
        for method, precision, attention, batch in product(parsed, precisions, ("fused", "eager"), batches)
    ]


def table(records: Sequence[CostRecord]) -> list[Row]:
    """A row a record."""
    return [_row(record) for record in records]


def summary(rows: Sequence[Row]) -> str:
    """The median and the worst error of the plan of training, against the targets."""
    errors = [abs(row["difference"]) for row in rows if row["difference"] is not None]
    if not errors:
        return "no memory was measured: there is no allocator to ask without CUDA"
    worst = max((row for row in rows if row["difference"] is not None), key=lambda row: abs(row["difference"]))
    where = " ".join(str(worst[key]) for key in ("method", "precision", "attention", "batch_size"))
    return (
        f"planned against measured peak of {len(errors)} cases: median error {statistics.median(errors):.1%} "
        f"(target at most {TARGET_MEDIAN:.0%}), worst {max(errors):.1%} ({where}; target at most {TARGET_WORST:.0%})"
        f"{_without_workspaces(rows)}"
    )


def _without_workspaces(rows: Sequence[Row]) -> str:
    """The same where what cuBLAS holds for its products, which no plan has, is left out."""
    found = [row["difference_without_workspaces"] for row in rows]
    errors = [abs(difference) for difference in found if difference is not None]
    return f"; without cuBLAS's workspaces {statistics.median(errors):.1%} and {max(errors):.1%}" if errors else ""


def _row(record: CostRecord) -> Row:
    row, made = record.row(), record.where
    for kind in ("train", "inference"):
        ends = row[f"{kind}_images_per_second_range"] or [None, None]
        row |= {f"{kind}_images_per_second_low": ends[0], f"{kind}_images_per_second_high": ends[1]}
    planned, peak, workspaces = (row[key] for key in ("planned_peak_bytes", "peak_bytes", "workspace_bytes"))
    row["difference"] = _difference(planned, peak)
    row["difference_without_workspaces"] = _difference(planned, None if peak is None else peak - (workspaces or 0))
    row["inference_difference"] = _difference(row["inference_peak_bytes"], row["measured_inference_peak_bytes"])
    row |= {"device": made.device, "driver": made.driver, "commit": made.commit, "dirty": made.dirty, "date": made.date}
    row |= {name: made.versions.get(name) for name in ("torch", "timm")}
    return {key: row[key] for key in COLUMNS}


def _difference(planned: int | None, measured: int | None) -> float | None:
    return None if planned is None or measured is None else measured / planned - 1


def _written(rows: Sequence[Row]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def main(words: Sequence[str] | None = None) -> None:
    """Measure, write after each case, print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", default="all")
    parser.add_argument("--backbone", default="random:vit_base_patch16_224")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch-sizes", default="8,64")
    parser.add_argument("--precisions", default="fp32,bf16")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "measured")
    options = parser.parse_args(words)
    console, records = Console(), []
    try:
        device = device_of(options.device)
        batches = [int(word) for word in options.batch_sizes.split(",")]
        wanted = cases(options.methods, options.backbone, batches, options.precisions.split(","))
    except (WrongCall, ValueError) as error:
        sys.exit(f"error: {error}")
    path = options.out / f"memory-{slug(_name(device))}.csv"
    before = _before(path, wanted)
    for case in wanted:
        records.append(cost_of(case, device))
        write_whole(path, _written([*before, *table(records)]))
        console.print(f"[{len(records)}/{len(wanted)}] {_said(table(records[-1:])[0])}", markup=False, soft_wrap=True)
    console.print(f"wrote {path}\n{summary(table(records))}", markup=False, soft_wrap=True)


def _before(path: Path, wanted: Sequence[Case]) -> list[Row]:
    """What the file has of other cases, so that a table may be made in several calls."""
    if not path.is_file():
        return []
    told = [dataclasses.asdict(case.conditions()) for case in wanted]
    now = {tuple(str(conditions[key]) for key in ASKED) for conditions in told}
    with path.open(newline="") as file:
        rows = [{key: row.get(key, "") for key in COLUMNS} for row in csv.DictReader(file)]
    return [row for row in rows if tuple(row[key] for key in ASKED) not in now]


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _said(row: Row) -> str:
    what = " ".join(str(row[key]) for key in ("method", "precision", "attention", "batch_size"))
    difference = "" if row["difference"] is None else f", {row['difference']:+.1%} against the plan"
    speed = row["train_images_per_second"]
    return f"{what}: {row['status']}{difference}" + ("" if speed is None else f", {speed:.0f} images/s")


if __name__ == "__main__":
    main()
