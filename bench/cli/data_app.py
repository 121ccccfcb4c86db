"""The commands `data check` and `data fetch`."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.guard import console, guarded
from bench.cli.options import ROOT, Data, Json

__all__ = ["app"]

app = typer.Typer(
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="What images are there, what is wrong with them, how to get them.",
)


@app.command("check")
@guarded
def check_data(
    suite: Annotated[str, typer.Argument(help="As for training; see [b]list suites[/b].")],
    data: Data = ROOT / "data",
    json_: Json = False,
) -> None:
    """Find, count and decode every image of a suite; exit code 1 when something is missing or wrong."""
    from bench.cli.data import check, document, show

    checked = check(suite, data, console(stderr=json_))
    if json_:
        typer.echo(document(suite, data, checked))
    else:
        show(suite, checked, console())
    raise typer.Exit(0 if all(task.sound for task in checked) else 1)


@app.command("fetch")
@guarded
def fetch_data(
    suite: Annotated[str, typer.Argument(help="A suite that is published as a whole: [b]vtab[/b].")],
    data: Data = ROOT / "data",
) -> None:
    """Download a suite and unpack it; a call that was stopped goes on where it was."""
    from bench.prepare.fetch import fetch
    from datasets.files.copies import check_call

    place = fetch(suite, data, console())
    console().print(f"{place} is complete; look at it with: {check_call(suite, data)}", markup=False, soft_wrap=True)
