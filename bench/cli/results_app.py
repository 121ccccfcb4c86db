"""The commands `results check`, `results merge` and `results export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.guard import console, guarded
from bench.cli.options import ROOT, Json, Results

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Check, merge and export folders of results.")


@app.command("check")
@guarded
def check_results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that holds runs/.")] = ROOT / "results",
    json_: Json = False,
) -> None:
    """Read every record; name what is damaged, misplaced, left over or claimed. Exit code 1 if not all is sound."""
    from bench.cli.results import check

    raise typer.Exit(0 if check(folder, json_, console()) else 1)


@app.command("merge")
@guarded
def merge_results(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder to take from; it stays as it is.")],
    results: Results = ROOT / "results",
) -> None:
    """Bring what only another folder has into this one. A record never takes the place of another sound one."""
    from bench.cli.results import merge_into

    raise typer.Exit(0 if merge_into(results, folder, console()) else 1)


@app.command("export")
@guarded
def export_results(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .parquet or .csv.")],
    results: Results = ROOT / "results",
) -> None:
    """Write every record into one flat table, a row a run."""
    from bench.cli.results import export_to

    raise typer.Exit(0 if export_to(results, file, console()) else 1)
