"""The commands `results check`, `results export` and `results upgrade`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from bench.cli.guard import Command, Group, console, say
from bench.cli.options import ROOT, Json, Results
from bench.errors import UsageError
from results.text import numbered

if TYPE_CHECKING:
    from results.verify import Findings

__all__ = ["app"]

Folder = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="A folder that holds runs/; else that of --results.")
]

app = typer.Typer(cls=Group, no_args_is_help=True, help="Check, export and upgrade folders of results.")


@app.command("check", cls=Command)
def check_results(folder: Folder = None, results: Results = ROOT / "results", json_: Json = False) -> None:
    """Read every record; name what is damaged, misplaced, left over or claimed. Exit code 1 if not all is sound."""
    from results.verify import verify

    found = verify(_there(folder or results))
    if json_:
        typer.echo(json.dumps(dataclasses.asdict(found), indent=1))
    else:
        _show(found, console())
    raise typer.Exit(0 if found.sound() else 1)


@app.command("export", cls=Command)
def export_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .parquet or .csv.")],
    results: Results = ROOT / "results",
) -> None:
    """Write every record into one flat table, a row a run. Exit code 1 if one is damaged."""
    from results import load_all
    from results.frame import FORMATS, export

    if file.suffix not in FORMATS:
        raise UsageError(f"{file.name} ends in none of {', '.join(FORMATS)}; write results export runs.parquet")
    records, complaints = load_all(results)
    if not records:
        raise UsageError(f"there are no records in {results}; train something first, or choose another folder")
    try:
        rows = export(records, file)
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; choose another place") from error
    _list(console(), "damaged, left out", complaints)
    say(console(), f"{numbered(rows, 'run')} in {file}")
    raise typer.Exit(1 if complaints else 0)


@app.command("upgrade", cls=Command)
def upgrade_results(folder: Folder = None, results: Results = ROOT / "results") -> None:
    """Rewrite records of an earlier version with today's words, which they are read with anyway. Nothing is lost."""
    from results.upgrade import upgrade

    root = _there(folder or results)
    try:
        found = upgrade(root)
    except OSError as error:
        raise UsageError(f"cannot write in {root}: {error.strerror}; the rest can be upgraded later") from error
    files = f"{numbered(found.records, 'record')} and {numbered(found.recipes, 'recipe')} of tune"
    say(console(), f"{files} now have today's words; {found.already:,} had them")
    if found.held:
        say(console(), f"{numbered(found.held, 'record')} left, since the run is being done now")
    _list(console(), "damaged, left as it is", found.damaged)
    raise typer.Exit(1 if found.damaged else 0)


def _show(found: Findings, screen: Console) -> None:
    known = f"{numbered(found.records, 'record')} and {numbered(found.costs, 'row')} of cost"
    say(screen, f"{known} are sound")
    _list(screen, "damaged; the next grid sets it aside and does the run again", _pairs(found.damaged))
    _list(screen, "kept files that are gone", _pairs(found.missing))
    _list(screen, "in the wrong place; move it to the right one", _pairs(found.misplaced))
    _list(screen, "set aside as damaged before", found.set_aside)
    _list(screen, "set aside, since its settings or the code of its method changed", found.stale)
    _list(screen, "set aside by --force", found.forced)
    _list(screen, "left by a process that was killed; may be deleted while no grid runs", found.leftovers)
    _list(screen, "claimed", _pairs(found.claimed))


def _list(screen: Console, what: str, lines: Iterable[str]) -> None:
    for line in lines:
        say(screen, f"{what}: {line}")


def _pairs(reasons: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in reasons.items()]


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; give one that holds runs/")
    return folder
