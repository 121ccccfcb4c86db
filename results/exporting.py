"""All records as one flat file for other programs: Parquet with typed columns, or CSV with lists as JSON."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.record import Record
from results.store import write_whole
from results.text import readable

if TYPE_CHECKING:
    import pyarrow

__all__ = ["FORMATS", "export"]

FORMATS = (".parquet", ".csv")


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
