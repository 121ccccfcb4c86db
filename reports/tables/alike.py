"""Cost rows that were obtained under the same conditions, and those conditions in a sentence for a caption."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from reports.tables.comparison import values
from results import slug

__all__ = ["Alike", "alike", "number"]

CONDITIONS = {  # and how each is said; what is None is said only where it is unusual
    "backbone": "{}",
    "classes": "{} classes",
    "batch_size": "batch {}",
    "precision": "{}",
    "attention": "{} attention",
    "optimizer": "{}",
    "checkpointing": None,
    "autograd": None,
    "gradients": None,
    "scores": None,
    "drop_path": None,
    "backbone_dropout": None,
    "protocol": None,
    "activations": None,
    "optimizer_in_backward": None,
}
UNUSUAL = {
    "checkpointing": {"true": "blocks recomputed in the backward pass"},
    "autograd": {"legacy": "tensors kept as by PyTorch 1.7"},
    "gradients": {"freed_after": "gradients freed after the forward pass", "zeroed": "gradients zeroed in place"},
    "optimizer_in_backward": {"true": "gradients freed by steps in the backward pass"},
    "scores": {"held": "attention scores held until their layer returns"},
}


@dataclass(frozen=True)
class Alike:
    """Rows that differ in the method, and in the fields that were set apart, alone."""

    rows: pd.DataFrame

    @property
    def conditions(self) -> str:
        """Network, batch, precision and the rest; then how it was planned or measured."""
        return f"{', '.join(_said(self.rows))}. {provenance(self.rows)}."

    @property
    def name(self) -> str:
        """Fit for a file name."""
        return "-".join(slug(part.replace(" ", "-")) for part in _said(self.rows))


def alike(costs: pd.DataFrame, *apart: str) -> Iterator[Alike]:
    """The rows of no publication's protocol by their conditions, `apart` from some of them."""
    own = costs[costs["protocol"] == ""]
    fields = [field for field in CONDITIONS if field not in apart and field in own]
    for _, rows in own.groupby(fields, sort=False, dropna=False):
        yield Alike(rows)


def provenance(rows: pd.DataFrame) -> str:
    """Devices where something was measured, the version of torch, the commit."""
    measured = rows[rows["peak_bytes"].notna() | rows["train_images_per_second"].notna()]
    devices = values(measured, "where_device")
    versions = sorted({str(known.get("torch")) for known in rows["where_versions"]})
    commits = [commit[:7] for commit in values(rows, "where_commit")] or ["unknown"]
    dirty = " with uncommitted changes" if "true" in values(rows, "where_dirty") else ""
    how = f"Planned, and measured on {', '.join(devices)}" if devices else "Planned, not measured"
    return f"{how}; torch {', '.join(versions)}; commit {', '.join(commits)}{dirty}"


def number(value: object) -> float | None:
    """A number of a frame, or None where there is none."""
    return float(value) if isinstance(value, int | float) and value == value else None


def _said(rows: pd.DataFrame) -> list[str]:
    """Each condition that all rows share, in words."""
    said = []
    for field, words in CONDITIONS.items():
        known = values(rows, field)
        if len(known) != 1:
            continue
        if words is not None:
            said.append(words.format(known[0]))
        elif field in UNUSUAL:
            said += [UNUSUAL[field][known[0]]] if known[0] in UNUSUAL[field] else []
        elif known[0] not in ("0", "0.0", ""):
            said.append(f"{field.replace('_', ' ')} {known[0]}")
    return said
