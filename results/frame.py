"""All records as one table, a row a run, a column a field: a data frame for reports, a flat file for other programs."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.kept import has_kept, kept_path
from results.record import Record
from results.store import write_whole
from results.text import readable

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow

__all__ = ["FORMATS", "export", "frame"]

FORMATS = (".parquet", ".csv")  # of an export: typed columns, or lists as JSON


def frame(records: Iterable[Record], root: Path | None = None) -> pd.DataFrame:
    """Columns: fields of the identity, group, classes, place, status, reason, and the fields of score and cost by name.

    `preprocessing` is what was done to the images, as one dictionary. `weights` is the digest of the weight file where
    the backbone was read from one, `data` the revision of the task's images and labels where it has one,
    `split` says which images were scored: "val" where settings are chosen. Lists stay lists. Names are plain
    (`test_accuracy`, `planned_peak_bytes`); resolved settings are prefixed (`recipe_epochs`, `method_rank`,
    `where_device`), so that they cannot collide. With the folder of results, `kept_features` is the file of the
    features that were kept of a run and `kept_checksum` what the record says of its content; `kept_predictions` and
    `predictions_checksum` are those of its answers to the test images.
    """
    import pandas as pd  # here, because the command line imports this module and must answer --help at once

    return pd.DataFrame([_row(record) | _kept(record, root) for record in records])


def export(records: Iterable[Record], file: Path) -> int:
    """Write a row for each record and a column for each field, named by its way down: `cost_planned_peak_bytes`.

    Returns the number of rows. The ending of `file`, one of FORMATS, says which format.
    """
    from pyarrow import csv, parquet

    rows = [dict(_flat("", dataclasses.asdict(record))) for record in records]
    buffer = io.BytesIO()
    if file.suffix == ".parquet":
        parquet.write_table(_table(rows), buffer)
    else:
        csv.write_csv(_table([{key: _plain(value) for key, value in row.items()} for row in rows]), buffer)
    write_whole(file, buffer.getvalue())
    return len(rows)


def _row(record: Record) -> dict[str, Any]:
    row: dict[str, Any] = {key: value for key, value in vars(record.identity).items() if key != "changes"}
    row |= {key: record.identity.changes.get(key) for key in ("weights", "data")}
    row["split"] = record.identity.changes.get("split", "test")
    row |= {
        key: getattr(record, key)
        for key in ("group", "classes", "class_names", "place", "status", "reason", "preprocessing", "understood")
    }
    row |= vars(record.score) | vars(record.cost) | vars(record.speedups)
    for prefix, values in (("recipe", record.recipe), ("method", record.method), ("where", vars(record.where))):
        row |= {f"{prefix}_{key}": value for key, value in values.items()}
    return row


def _kept(record: Record, root: Path | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, name in (("features", "kept_checksum"), ("predictions", "predictions_checksum")):
        if root is not None and has_kept(root, record, kind):
            checksum = record.kept[kind]
            found |= {f"kept_{kind}": kept_path(root, record.identity, kind, checksum), name: checksum}
    return found


def _flat(name: str, value: Any) -> Iterable[tuple[str, Any]]:
    """Objects become their fields; an empty one has none."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _flat(f"{name}_{key}" if name else key, part)
    else:
        yield name, value


def _table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    import pyarrow

    names = dict.fromkeys(name for row in rows for name in row)
    return pyarrow.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pyarrow.Array:
    """Of the type that fits every value; text where methods give one setting different types."""
    import pyarrow

    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError, UnicodeError):
        return pyarrow.array([None if value is None else readable(str(value)) for value in values])


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list) else value
