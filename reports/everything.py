"""The command `report`: from the records on disk to tables on the terminal and files in a folder."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports.discovery import MEASURED_REPORTS, PUBLISHED, READS, find, pick, published, why_nothing
from reports.tables.table import Item, Table, with_unique_names
from results import CostRecord, cost_frame, frame, load_all, load_costs, load_measured, numbered

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

__all__ = ["cost_conditions", "show_costs", "write_all", "write_published"]

Say = Callable[[str], None]

GENERAL = "accuracy"  # the report that has a table for any suite; some suites have a report of their name


def write_all(
    root: Path,
    names: Sequence[str] | None,
    out: Path,
    console: Console,
    records: Sequence[Path] | None = None,
    current: Callable[[CostRecord], bool] = lambda _: True,
) -> list[Path]:
    """Write the named reports, or all and the page, of the records below `root`, and return the paths.

    `records` limits them to these files of runs, and to reports that read runs. Cost records that are not
    `current`, since other code made them, are left out and counted. When all files are there, damaged records are
    named, and named reports shown on the console; of all, one sees what the runs mean and where the files are. The
    report `accuracy` leaves a suite to the report of its name where that is among them. An unknown name raises
    ValueError before anything is read or written.
    """
    from reports.formats import files as writing
    from reports.formats import html

    picked = pick(names)
    kinds = {kind for name in picked for kind in READS[name]}
    notes: list[str] = []  # what is said before the tables
    runs, trials = _runs(root, records, notes.append) if kinds & {"runs", "trials"} else (None, None)
    tables = {
        "runs": runs,
        "trials": trials,
        "costs": _costs(root, current, notes.append) if "costs" in kinds and records is None else None,
    }
    items: dict[str, Sequence[Item]] = {}
    for name in picked:
        own = _measured(root, name, notes.append) if name in MEASURED_REPORTS and records is None else {}
        if names is None and (runs is not None or tables["costs"] is not None):
            own = _of_this_machine(name, own, [runs, tables["costs"]], notes.append)
        own |= {"runs": _without_suites(tables["runs"], picked)} if name == GENERAL else {}
        given = [(tables | own).get(kind) for kind in READS[name]]
        if any(table is not None for table in given):
            items[name] = with_unique_names(_shown(name, given, notes.append))
    found = [item for each in items.values() for item in each]
    written = [writing.write(item, out) for item in found]
    pages = [html.write(items, tables["runs"], tables["costs"], out)] if names is None and found else []
    for note in notes:
        _say(console, note)
    if names is None:
        _show_meaning(tables["runs"], console)
        _say_files(items, out, console)
    else:
        _show(found, written, console)
    if records is None:
        _say_empty([name for name, each in items.items() if not each], console)
    for path in pages:
        whole = "everything" if records is None else "this grid (all there is: python bench.py report)"
        _say(console, f"{path}: {whole} on one page, for a browser")
    return [*(path for paths in written for path in paths), *pages]


def _say_empty(names: Sequence[str], console: Console) -> None:
    """Reports that have nothing to show: why, if they know it."""
    told = {name: why for name in names if (why := why_nothing(name))}
    if unexplained := [name for name in names if name not in told]:
        _say(console, f"{', '.join(unexplained)}: nothing to show yet")
    for name, why in told.items():
        _say(console, f"{name}: {why}")


def write_published(names: Sequence[str] | None, out: Path, console: Console) -> list[Path]:
    """Write and show the papers' tables of the named reports, or of all that have any; no record is read."""
    from reports.formats import files as writing

    tables = [table for name in names or PUBLISHED for table in published(name)]
    written = [writing.write(table, out) for table in tables]
    _show(tables, written, console)
    return [path for paths in written for path in paths]


def _shown(name: str, given: Sequence[pd.DataFrame | None], say: Say) -> Sequence[Item]:
    """What the report has to show; a row that it cannot show, however it came about, is left out with a sentence."""
    try:
        return find(name)(*given)
    except Exception as error:
        sound, lost = list(given), list[str]()
        for index, table in enumerate(given):
            if table is not None:
                fine = [_can_show(name, given, index, row) for row in range(len(table))]
                sound[index] = table[fine]
                rows = table[[not one for one in fine]].to_dict("records")
                lost += [f"{row.get('method')} on {row.get('task', row.get('backbone'))}" for row in rows]
        if not lost or any(table is not None and table.empty for table in sound):
            say(f"{name} cannot be shown: {type(error).__name__}: {error}")
            return []
        say(f"{name} leaves out what it cannot show ({type(error).__name__}: {error}): {', '.join(lost)}")
        return _shown(name, sound, say)


def _can_show(name: str, given: Sequence[pd.DataFrame | None], index: int, row: int) -> bool:
    """Whether the report can show one row of one table, beside the other tables."""
    table = given[index]
    alone = None if table is None else table.iloc[[row]]
    try:
        find(name)(*given[:index], alone, *given[index + 1 :])
    except Exception:
        return False
    return True


def _without_suites(runs: pd.DataFrame | None, picked: Sequence[str]) -> pd.DataFrame | None:
    """The runs whose suite no report of the same call has a table for; None where that leaves none."""
    if runs is None:
        return None
    left = runs[~runs["suite"].str.partition(":")[0].isin(picked)]
    return left if len(left) else None


def show_costs(records: Sequence[CostRecord], console: Console) -> None:
    """The main numbers of cost records on the console; nothing is written."""
    from reports.formats import terminal

    for item in find("cost")(cost_frame(records)):
        if isinstance(item, Table):
            terminal.show(item, console, "the files of `bench.py report cost`")


def cost_conditions(records: Sequence[CostRecord]) -> str:
    """Return in words what all cost records share of their conditions, and how they were planned or measured."""
    from reports.tables.costs import Alike

    return Alike(cost_frame(records)).conditions


def _runs(root: Path, records: Sequence[Path] | None, say: Say) -> tuple[pd.DataFrame | None, pd.DataFrame | None]:
    """Return runs that were tested and trials of `tune`, scored on validation images, which never share a table."""
    sound, complaints = load_all(root, records)
    for complaint in complaints:
        say(f"damaged record: {complaint}")
    if not sound:
        say(f"no records in {root / 'runs'}; run python bench.py first")
        return None, None
    all_runs = frame(sound, root)
    gc.freeze()  # all of this stays to the end; to look through it at every collection would take half of the time
    tested, trials = (all_runs[all_runs["split"] == split].reset_index(drop=True) for split in ("test", "val"))
    return tested if len(tested) else None, trials if len(trials) else None


def _costs(root: Path, current: Callable[[CostRecord], bool], say: Say) -> pd.DataFrame | None:
    sound, complaints = load_costs(root)
    for complaint in complaints:
        say(f"damaged record: {complaint}")
    kept = [record for record in sound if current(record)]
    if left := len(sound) - len(kept):
        say(f"{numbered(left, 'cost record')} made by other code left out; python bench.py cost makes new ones")
    if not kept:
        say(f"no cost records in {root / 'cost'}; run python bench.py cost --planned first")
        return None
    return cost_frame(kept)


def _measured(root: Path, name: str, say: Say) -> dict[str, pd.DataFrame | None]:
    """What there is of the files that a report reads, by name."""
    found = {subject: load_measured(root, subject) for subject in READS[name]}
    if all(rows is None for rows in found.values()):
        say(f"nothing in {root / 'measured' / f'{READS[name][0]}.csv'}; run make {name} first")
    return found


def _of_this_machine(
    name: str, measured: dict[str, pd.DataFrame | None], records: Sequence[pd.DataFrame | None], say: Say
) -> dict[str, pd.DataFrame | None]:
    """Leave out what was measured on a device that no record is of, and say so: some numbers come with the checkout.

    The name of a processor fits many machines, so what one measured is left out where it is older than all records.
    """
    from reports.tables.comparison import values  # here, because it imports pandas

    known = [table for table in records if table is not None]
    devices = {device for table in known for device in values(table, "where_device")}
    first = min((day for table in known for day in values(table, "where_date")), default="")[:10]
    found: dict[str, pd.DataFrame | None] = {}
    for subject, rows in measured.items():
        if rows is None:
            continue
        days = rows["date"].astype(str) if "date" in rows else ""
        old = rows["device"].str.startswith("cpu") & (days < first)
        own = rows[rows["device"].isin(devices) & ~old]
        found[subject] = own if len(own) else None
    if found and all(rows is None for rows in found.values()):
        say(f"{name}: not on the page, since it was measured on another machine; `bench.py report {name}` shows it")
    return measured | found


def _show(items: Sequence[Item], written: Sequence[Sequence[Path]], console: Console) -> None:
    """Show the tables, and say where the files of each item are: whatever happens to the screen, they are there."""
    from reports.formats import terminal

    for item, paths in zip(items, written, strict=True):
        if isinstance(item, Table):
            terminal.show(item, console, "the files below")
        _say(console, f"wrote {', '.join(map(str, paths))}")


def _show_meaning(runs: pd.DataFrame | None, console: Console) -> None:
    """Show a short table of each comparison and, below, where one looks at the end, what it means."""
    from reports.conclusions import conclusions, outline
    from reports.formats import terminal

    if runs is None:
        return
    for table in outline(runs):
        terminal.show(table, console)
    said = conclusions(runs)
    for sentence in said:
        _say(console, sentence)
    if said:
        console.print()


def _say_files(items: Mapping[str, Sequence[Item]], out: Path, console: Console) -> None:
    """Say in a sentence which reports there are and how one is seen; each is one or more files."""
    if shown := [name for name, each in items.items() if each]:
        text = f"{out} holds the reports {', '.join(shown)}; `bench.py report NAME` shows one here"
        _say(console, text)


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
