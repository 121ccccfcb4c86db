"""All records as one table: a row a run, a column a field, for the reports to slice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from results.record import Record

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame"]


def frame(records: Iterable[Record]) -> pd.DataFrame:
    """Columns: fields of the identity, group, classes, place, status, reason, and the fields of score and cost by name.

    `weights` is the digest of the weight file where the backbone was read from one. Lists stay lists. Names are plain
    (`test_accuracy`, `planned_peak_bytes`); resolved settings are prefixed (`recipe_epochs`, `method_rank`,
    `where_device`), so that they cannot collide.
    """
    import pandas as pd  # here, because the command line imports this module and must answer --help at once

    return pd.DataFrame([_row(record) for record in records])


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {key: value for key, value in vars(record.identity).items() if key != "changes"}
    row["weights"] = record.identity.changes.get("weights")
    row |= {key: getattr(record, key) for key in ("group", "classes", "place", "status", "reason")}
    row |= vars(record.score) | vars(record.cost) | vars(record.speedups)
    for prefix, values in (("recipe", record.recipe), ("method", record.method), ("where", vars(record.where))):
        row |= {f"{prefix}_{key}": value for key, value in values.items()}
    return row
