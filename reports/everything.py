"""The command `report`: from the records on disk to tables on the terminal and files in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.base import Table, told_apart
from reports.discovery import find, pick
from results import frame, load_all

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["write_all"]


def write_all(
    root: Path,
    names: Sequence[str] | None,
    out: Path,
    console: Console,
    records: Sequence[Path] | None = None,
) -> list[Path]:
    """Write the named reports, or all, of the records below `root`, and return the paths.

    `records` limits them to these files. Tables are shown on the console, damaged records are named there.
    An unknown name raises ValueError before anything is read or written.
    """
    picked = pick(names)
    sound, complaints = load_all(root, records)
    for complaint in complaints:
        _say(console, f"damaged record: {complaint}")
    if not sound:
        _say(console, f"no records in {root / 'runs'}; run python bench.py first")
        return []
    runs = frame(sound)
    return [path for name in picked for path in _write(name, runs, out, console)]


def _write(name: str, runs: pd.DataFrame, out: Path, console: Console) -> list[Path]:
    from reports import terminal, writing

    items = told_apart(find(name)(runs))
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
