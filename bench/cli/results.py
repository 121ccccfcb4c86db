"""What the command line does when it is asked about a folder of results: check it, merge another in, export it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console

import results
from bench.cli.folder import check_folder
from bench.errors import WrongCall
from results.exporting import FORMATS, export
from results.merging import merge
from results.verify import Findings, verify

__all__ = ["check", "export_to", "merge_into"]


def check(root: Path, as_json: bool, console: Console) -> bool:
    """Say what is sound and what is not; whether all of it is."""
    _must_exist(root)
    found = verify(root)
    if as_json:
        console.file.write(json.dumps(dataclasses.asdict(found), indent=1) + "\n")
    else:
        _show(found, console)
    return found.sound()


def merge_into(root: Path, other: Path, console: Console) -> bool:
    """Bring in what only `other` has; whether nothing there is damaged or contradicts what is here."""
    _must_exist(other)
    check_folder(root)
    merged = merge(root, other)
    _list(console, "damaged, not taken", merged.damaged)
    _list(console, "another result, ours was kept; delete one of the two", _pairs(merged.differing))
    console.print(
        f"{len(merged.taken)} taken, {merged.same} were here, {len(merged.differing)} differ", highlight=False
    )
    return not (merged.damaged or merged.differing)


def export_to(root: Path, file: Path, console: Console) -> bool:
    """Write every sound record into one table; whether none is damaged."""
    if file.suffix not in FORMATS:
        raise WrongCall(f"{file.name} ends in none of {', '.join(FORMATS)}; write results export runs.parquet")
    records, complaints = results.load_all(root)
    if not records:
        raise WrongCall(f"there are no records in {root}; train something first, or choose another folder")
    try:
        rows = export(records, file)
    except OSError as error:
        raise WrongCall(f"cannot write {file}: {error.strerror}; choose another place") from error
    _list(console, "damaged, left out", complaints)
    console.print(f"{rows} runs in {file}", highlight=False, soft_wrap=True)
    return not complaints


def _show(found: Findings, console: Console) -> None:
    console.print(f"{found.records} records and {found.costs} rows of cost are sound", highlight=False)
    _list(console, "damaged; the next grid sets it aside and does the run again", _pairs(found.damaged))
    _list(console, "kept files that are gone", _pairs(found.missing))
    _list(console, "in the wrong place; `results merge` brings it to the right one", _pairs(found.misplaced))
    _list(console, "set aside as damaged before", found.set_aside)
    _list(console, "set aside, since its settings or the code of its method changed", found.stale)
    _list(console, "left by a process that was killed; may be deleted while no grid runs", found.leftovers)
    _list(console, "claimed", _pairs(found.claimed))


def _list(console: Console, what: str, lines: Iterable[str]) -> None:
    for line in lines:
        console.print(f"{what}: {line}", markup=False, highlight=False, soft_wrap=True)


def _pairs(reasons: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in reasons.items()]


def _must_exist(folder: Path) -> None:
    if not folder.is_dir():
        raise WrongCall(f"{folder} is no folder; give one that holds runs/")
