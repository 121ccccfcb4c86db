"""A printed cost beside the records that were made under its conditions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from results import quoted

__all__ = ["Printed", "printed"]


@dataclass(frozen=True)
class Printed:
    """One number of a publication, as text, and our rows for it: one for each value of its setting."""

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
        """Our number under the rules that `conditions` name; a mean where there are several tasks."""
        rows = self.rows
        for key, wanted in conditions.items():
            rows = rows[rows[key] == wanted]
        by_value = {
            _setting(row, self.setting): row[field] for row in rows.to_dict("records") if row[field] == row[field]
        }
        wanted_values = self.setting.partition("=")[2].split("/")
        if not all(value in by_value and by_value[value] is not None for value in wanted_values):
            return None
        return fmean(by_value[value] for value in wanted_values)

    def rounds_to(self, value: float) -> bool:
        """Whether `value` would be printed with the same digits."""
        digits = len(self.text.partition(".")[2])
        return f"{value:.{digits}f}" == self.text


def printed(protocol: str, costs: pd.DataFrame) -> Iterator[Printed]:
    """What a publication printed, with our rows; those of a method that is not there have no rows."""
    ours = costs[(costs["protocol"] == protocol) & (costs["status"] == "ok")]
    names = ours["method"].str.partition(":")[0] if len(ours) else ours["method"]
    for line in quoted("cost").query("protocol == @protocol").itertuples():
        rows = ours[names == line.method]
        yield Printed(str(line.method or line.row), str(line.setting), str(line.quantity), str(line.value), rows)


def _setting(row: dict[Any, Any], setting: str) -> str:
    """The value that a row has for a setting such as "tokens=10"."""
    name = setting.partition("=")[0]
    return str(row["settings"][name]) if name else ""
