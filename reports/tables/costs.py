"""Cost records made under the same conditions, and printed costs beside ours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from reports.tables.comparison import commits, values
from results import quoted, slug

__all__ = ["Alike", "PrintedCost", "alike", "number", "printed_costs", "provenance"]

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
    """Holds rows of cost records that share all conditions but the method and the fields that were set apart."""

    rows: pd.DataFrame

    @property
    def conditions(self) -> str:
        """The conditions in a sentence: network, batch, precision and the rest; then how it was planned or measured."""
        return f"{', '.join(_said(self.rows))}. {provenance(self.rows)}."

    @property
    def name(self) -> str:
        """The conditions as a part of a file name."""
        return "-".join(slug(part.replace(" ", "-")) for part in _said(self.rows))


def alike(costs: pd.DataFrame, *apart: str) -> Iterator[Alike]:
    """Group our rows (not those made for a publication's protocol) by all conditions but those in `apart`."""
    own = costs[costs["protocol"] == ""]
    fields = [field for field in CONDITIONS if field not in apart and field in own]
    for _, rows in own.groupby(fields, sort=False, dropna=False):
        yield Alike(rows)


def provenance(rows: pd.DataFrame) -> str:
    """Say on which devices something was measured, with which torch, at which commit."""
    measured = rows[rows["peak_bytes"].notna() | rows["train_images_per_second"].notna()]
    devices = values(measured, "where_device")
    versions = sorted({str(known.get("torch")) for known in rows["where_versions"]})
    how = f"Planned, and measured on {', '.join(devices)}" if devices else "Planned, not measured"
    return f"{how}; torch {', '.join(versions)}; commit {', '.join(commits(rows))}"


def number(value: object) -> float | None:
    """Return a number of a data frame, or None where it is missing."""
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


@dataclass(frozen=True)
class PrintedCost:
    """Holds one printed number, as text, and our rows for it: one for each value of its setting."""

    method: str
    setting: str
    quantity: str
    text: str
    rows: pd.DataFrame

    @property
    def value(self) -> float:
        """The number in the unit of the publication."""
        return float(self.text)

    @property
    def label(self) -> str:
        """The method with its setting; a list of settings is a mean over tasks."""
        many = "/" in self.setting
        return f"{self.method}, mean of {self.setting.count('/') + 1} tasks" if many else self._spec

    @property
    def _spec(self) -> str:
        return ":".join(filter(None, (self.method, self.setting)))

    def ours(self, field: str, **conditions: str) -> float | None:
        """Return our number under the rules that `conditions` name; a mean where there are several tasks."""
        rows = self.rows
        for key, wanted in conditions.items():
            rows = rows[rows[key] == wanted]
        by_value = {
            _value_of(row, self.setting): row[field] for row in rows.to_dict("records") if row[field] == row[field]
        }
        wanted_values = self.setting.partition("=")[2].split("/")
        if not all(value in by_value and by_value[value] is not None for value in wanted_values):
            return None
        return fmean(by_value[value] for value in wanted_values)

    def rounds_to(self, value: float) -> bool:
        """Return whether `value` rounds to the printed digits."""
        digits = len(self.text.partition(".")[2])
        return f"{value:.{digits}f}" == self.text


def printed_costs(protocol: str, costs: pd.DataFrame) -> Iterator[PrintedCost]:
    """Give each cost that a publication printed, with our rows for it; a method that was not run has no rows."""
    ours = costs[(costs["protocol"] == protocol) & (costs["status"] == "ok")]
    names = ours["method"].str.partition(":")[0] if len(ours) else ours["method"]
    for line in quoted("cost").query("protocol == @protocol").itertuples():
        rows = ours[names == line.method]
        yield PrintedCost(str(line.method or line.row), str(line.setting), str(line.quantity), str(line.value), rows)


def _value_of(row: dict[Any, Any], setting: str) -> str:
    """The value that a row has for a setting such as "tokens=10"."""
    name = setting.partition("=")[0]
    return str(row["settings"][name]) if name else ""
