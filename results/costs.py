"""Costs without training: what a method takes under stated conditions, planned or measured, one file a row."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from results.checked import build, closed
from results.record import Where
from results.store import set_aside, slug, write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Conditions", "CostRecord", "Figures", "cost_frame", "load_costs", "save_cost"]

SCHEMA = 1


@closed
@dataclass(frozen=True)
class Conditions:
    """Everything that the numbers of a row depend on, apart from the code and the device."""

    backbone: str
    method: str  # the spec, e.g. "lora:rank=4"
    classes: int
    batch_size: int
    precision: str
    attention: str
    optimizer: str
    checkpointing: bool
    autograd: str = "current"  # "legacy": what PyTorch 1.7 kept for backward
    gradients: str = "freed_before"  # when they go: before the forward pass, after it, or never ("zeroed" in place)
    scores: str = "freed"  # "held": attention scores live until their layer returns, as in VPT's released code
    drop_path: float = 0.0
    backbone_dropout: float = 0.0
    protocol: str = ""  # the publication whose conditions these are
    activations: str = ""  # options that cut what blocks keep, as a recipe has them
    optimizer_in_backward: bool = False

    def digest(self) -> str:
        """Eight hexadecimal digits that differ when any condition does; a later field at its default counts not."""
        values = dataclasses.asdict(self)
        for later, default in (("activations", ""), ("optimizer_in_backward", False)):
            if values[later] == default:
                del values[later]
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


@closed
@dataclass(frozen=True)
class Figures:
    """Memory in bytes of a whole batch, work and speed by the image. Planned and measured values have own fields."""

    trainable: int | None = None
    trainable_without_head: int | None = None
    total: int | None = None
    printed_extra: int | None = None  # as in a run's Cost
    planned_peak_bytes: int | None = None  # of a training step
    planned_breakdown: dict[str, int] = field(default_factory=dict)  # what was alive then; adds up to the peak
    planned_allocated_bytes: int | None = None  # by the simulated allocator, cuBLAS's workspaces included
    planned_reserved_bytes: int | None = None  # what the CUDA caching allocator takes from the card over whole steps
    needed_bytes: int | None = None  # planned reserved and the margin of `cost --budget`
    inference_peak_bytes: int | None = None  # planned, after folding
    macs: int | None = None  # multiply-adds of inference, attention products included
    macs_modules: int | None = None  # of linear and convolution layers only
    train_flops_frozen: int | None = None  # two for each multiply-add; `extract`
    train_flops_trained: int | None = None  # `adapt`, forward and backward
    checkpoint_bytes: int | None = None  # what is kept for a task: the tensors that learn
    peak_bytes: int | None = None  # CUDA allocator, allocated, over a training step from the second on
    reserved_bytes: int | None = None
    allocator_retries: int | None = None
    workspace_bytes: int | None = None  # of cuBLAS, part of `peak_bytes`; no plan has them
    measured_inference_peak_bytes: int | None = None
    train_images_per_second: float | None = None  # by the median step
    train_images_per_second_range: list[float] = field(default_factory=list)  # 10 % and 90 % of the steps
    inference_images_per_second: float | None = None
    inference_images_per_second_range: list[float] = field(default_factory=list)
    utilisation: float | None = None  # share of the device's peak FLOPs in training, frozen and trained work together
    unstable: bool | None = None  # a range wider than 5 % of its median


@closed
@dataclass(frozen=True)
class CostRecord:
    """One row. `code` is a digest of what made it, so that numbers of other code are never shown as today's."""

    conditions: Conditions
    settings: dict[str, Any]  # of the method, all of them
    figures: Figures
    status: Literal["ok", "oom", "unsupported"]
    reason: str | None
    code: str
    where: Where
    measured: bool = False  # on the device of `where`; else only planned, which is the same anywhere
    schema: int = SCHEMA

    @property
    def device(self) -> str | None:
        """What it was measured on; None where it was only planned."""
        return self.where.device if self.measured else None

    def row(self) -> dict[str, Any]:
        """One flat object: conditions, settings, status, figures."""
        about = {"settings": self.settings, "status": self.status, "reason": self.reason}
        return dataclasses.asdict(self.conditions) | about | dataclasses.asdict(self.figures)


def path_of(root: Path, record: CostRecord) -> Path:
    """`root/cost/<backbone>/<method>-<digest>[-<device>].json`, so that a plan never replaces a measurement."""
    asked = record.conditions
    device = "" if record.device is None else f"-{slug(record.device)}"
    return root / "cost" / slug(asked.backbone) / f"{slug(asked.method)}-{asked.digest()}{device}.json"


def save_cost(root: Path, record: CostRecord) -> Path:
    """Write the row whole; an older one under the same conditions, from the same device, is replaced.

    One that other code made is set aside.
    """
    path = path_of(root, record)
    with contextlib.suppress(ValueError, OSError, RecursionError):  # what is damaged, or not there, gives way
        if _read(path).code != record.code:
            set_aside(path, "stale")
    write_whole(path, as_bytes(record))
    return path


def as_bytes(record: CostRecord) -> bytes:
    """The content of the row's file."""
    return json.dumps(dataclasses.asdict(record), indent=1, allow_nan=False).encode()


def load_costs(root: Path) -> tuple[list[CostRecord], list[str]]:
    """Every sound row below `root`, and one sentence for each file that is none."""
    records, complaints = [], []
    for path in sorted((root / "cost").rglob("*.json")):
        try:
            records.append(_read(path))
        except (ValueError, OSError, RecursionError) as error:
            complaints.append(f"{path}: {error}; delete it, and the next call makes it again")
    return records, complaints


def cost_frame(records: Iterable[CostRecord]) -> pd.DataFrame:
    """A row a record: as in `row`, the breakdown as `planned_<part>_bytes`, provenance prefixed `where_`.

    A record that was only planned is left out where one of the same conditions was measured, since that has both.
    """
    import pandas as pd

    rows = list(records)
    measured = {record.conditions for record in rows if record.measured}
    return pd.DataFrame([_flat(record) for record in rows if record.measured or record.conditions not in measured])


def _flat(record: CostRecord) -> dict[str, Any]:
    row = record.row()
    parts = {f"planned_{part}_bytes": size for part, size in row.pop("planned_breakdown").items()}
    return row | parts | {f"where_{key}": value for key, value in vars(record.where).items()}


def _read(path: Path) -> CostRecord:
    values = json.loads(path.read_bytes())
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ValueError(f"not a cost record of schema {SCHEMA}")
    record: CostRecord = build(CostRecord, values, "record")
    return record
