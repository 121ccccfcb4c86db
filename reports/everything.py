"""The command `report`: from the records on disk to tables on the terminal and files in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.base import Table, told_apart
from reports.discovery import COST_REPORTS, MEASURED_REPORTS, find, pick
from results import CostRecord, cost_frame, frame, load_all, load_costs, load_measured, without_stale

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["show_costs", "write_all"]


def write_all(
    root: Path,
    names: Sequence[str] | None,
    out: Path,
    console: Console,
    records: Sequence[Path] | None = None,
    code: str | None = None,
) -> list[Path]:
    """Write the named reports, or all, of the records below `root`, and return the paths.

    `records` limits them to these files of runs, and to reports that read runs. Cost records that other code made
    than `code` says are left out and counted. Tables are shown on the console, damaged records are named there.
    An unknown name raises ValueError before anything is read or written.
    """
    picked = pick(names)
    of_runs = [name for name in picked if name not in (*COST_REPORTS, *MEASURED_REPORTS)]
    of_costs = [name for name in picked if name in COST_REPORTS and records is None]
    runs = _runs(root, records, console) if of_runs else None
    costs = _costs(root, code, console) if of_costs else None
    of_itself = [name for name in picked if name in MEASURED_REPORTS and records is None]
    pairs = [(name, runs) for name in of_runs] + [(name, costs) for name in of_costs]
    pairs += [(name, _measured(root, name, console)) for name in of_itself]
    return [path for name, table in pairs if table is not None for path in _write(name, table, out, console)]


def show_costs(records: Sequence[CostRecord], console: Console) -> None:
    """The table of cost records on the console; nothing is written."""
    from reports import terminal

    for item in find("cost")(cost_frame(records)):
        if isinstance(item, Table):
            terminal.show(item, console)


def _runs(root: Path, records: Sequence[Path] | None, console: Console) -> pd.DataFrame | None:
    sound, complaints = load_all(root, records)
    for complaint in complaints:
        _say(console, f"damaged record: {complaint}")
    if not sound:
        _say(console, f"no records in {root / 'runs'}; run python bench.py first")
        return None
    return frame(sound)


def _costs(root: Path, code: str | None, console: Console) -> pd.DataFrame | None:
    sound, complaints = load_costs(root)
    for complaint in complaints:
        _say(console, f"damaged record: {complaint}")
    kept = sound if code is None else without_stale(sound, code)
    if left := len(sound) - len(kept):
        _say(
            console,
            f"{left} cost records were made by other code and are left out; python bench.py cost makes them anew",
        )
    if not kept:
        _say(console, f"no cost records in {root / 'cost'}; run python bench.py cost --planned first")
        return None
    return cost_frame(kept)


def _measured(root: Path, name: str, console: Console) -> pd.DataFrame | None:
    found = load_measured(root, name)
    if found is None:
        _say(console, f"nothing in {root / 'measured' / f'{name}.csv'}; run make {name} first")
    return found


def _write(name: str, records: pd.DataFrame, out: Path, console: Console) -> list[Path]:
    from reports import terminal, writing

    items = told_apart(find(name)(records))
    if not items:
        _say(console, f"{name}: nothing to show yet")
    paths = []
    for item in items:
        if isinstance(item, Table):
            terminal.show(item, console)
        written = writing.write(item, out)
        _say(console, f"wrote {', '.join(map(str, written))}")
        paths += written
    return paths


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
