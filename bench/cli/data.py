"""The commands `data check` and `data fetch`: which images are there, what is wrong with them, how to get them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.cli.guard import Command, Group, console, say
from bench.cli.options import ROOT, Data, Json
from bench.errors import UsageError
from results import numbered

if TYPE_CHECKING:
    from bench.prepare.check import Checked

__all__ = ["app"]

SHOWN = 5  # files of a finding; --json has all

app = typer.Typer(
    cls=Group,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="What images are there, what is wrong with them, how to get them.",
)


@app.command("check", cls=Command)
def check_data(
    suite: Annotated[str, typer.Argument(help="As for training; see [b]list suites[/b].")],
    data: Data = ROOT / "data",
    json_: Json = False,
) -> None:
    """Find, count and decode every image of a suite; exit code 1 when something is missing or wrong."""
    checked = _inspect(suite, data, console(stderr=json_))
    if json_:
        typer.echo(_document(suite, data, checked))
    else:
        _show(suite, checked, console())
    raise typer.Exit(0 if all(task.sound for task in checked) else 1)


@app.command("fetch", cls=Command)
def fetch_data(
    suite: Annotated[str, typer.Argument(help="A suite that is published as a whole: [b]vtab[/b].")],
    data: Data = ROOT / "data",
) -> None:
    """Download a suite and unpack it; a call that was stopped goes on where it was."""
    from bench.prepare.fetch import fetch
    from datasets.files.copies import check_call

    folder = fetch(suite, data, console())
    say(console(), f"{folder} is complete; look at it with: {check_call(suite, data)}")


def _inspect(suite_name: str, data: Path, screen: Console) -> list[Checked]:
    """Inspect every file of every task of a suite, with a bar."""
    from bench.machine import cores
    from bench.names import suite_of
    from bench.prepare.check import check_task, images_in, look_for

    suite = suite_of(suite_name)
    try:
        looks = look_for(suite, suite.tasks, data)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not looks:
        raise UsageError(f"suite {suite.name} alone has no tasks: {suite.title}")
    if suite.look is not None and not any(look.folder for _, look in looks):
        where = "name another folder with --data" + (
            ", or: python bench.py data fetch vtab" if suite.name == "vtab" else ""
        )
        say(screen, f"nothing of {suite.name} is below {data}; {where}")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as progress:
        bar = progress.add_task("", total=sum(images_in(look) for _, look in looks))
        checked = []
        for task, look in looks:
            progress.update(bar, description=task.name)
            checked.append(check_task(task, look, cores(), lambda count: progress.advance(bar, count)))
    return checked


def _show(suite: str, checked: Iterable[Checked], screen: Console) -> None:
    """A row a task, then each finding with the first of its files."""
    rows = list(checked)
    splits = list(dict.fromkeys(split for row in rows for split in row.sizes))
    table = Table(title=f"{suite}: images found", title_justify="left")
    for heading in ("task", "folder", "layout"):
        table.add_column(heading, overflow="fold")
    for split in (*splits, "defects", "notes"):
        table.add_column(split, justify="right")
    for row in rows:
        weights = [finding.weight for finding in row.findings]
        counts = [f"{row.sizes[split]:,}" if split in row.sizes else "" for split in splits]
        folder = str(row.look.folder) if row.look.folder else "not found"
        told = (str(weights.count(weight)) for weight in ("defect", "note"))
        table.add_row(row.task.name, escape(folder), row.look.layout, *counts, *told)
    screen.print(table)
    for text, tasks in _said(rows).items():
        say(screen, f"{', '.join(tasks)}: {text}")
    sound = sum(row.sound for row in rows)
    verb = "is" if len(rows) == 1 else "are"
    say(screen, f"{sound} of {numbered(len(rows), 'task')} {verb} there and sound")


def _said(rows: Iterable[Checked]) -> dict[str, list[str]]:
    """Every finding as text, with the tasks it is true of; a task that is not there says so in the table."""
    said: dict[str, list[str]] = {}
    for row in rows:
        for finding in row.findings:
            if finding.kind != "missing task":
                files = [f"\n    {file}" for file in finding.files[:SHOWN]]
                if len(finding.files) > SHOWN:
                    files.append(f"\n    and {len(finding.files) - SHOWN} more; --json has all")
                said.setdefault(f"{finding.weight}: {finding.message}{''.join(files)}", []).append(row.task.name)
    return said


def _document(suite: str, data: Path, checked: Iterable[Checked]) -> str:
    """The same as one JSON document."""
    return json.dumps({"suite": suite, "data": str(data), "tasks": [_plain(row) for row in checked]}, indent=1)


def _plain(row: Checked) -> dict[str, Any]:
    return {
        "task": row.task.name,
        "group": row.task.group,
        "found": row.look.complete,
        "sound": row.sound,
        "folder": str(row.look.folder) if row.look.folder else None,
        "layout": row.look.layout or None,
        "images": row.sizes,
        "published_images": dict(row.task.sizes),
        "classes": row.task.classes,
        "findings": [{**vars(finding), "files": list(finding.files)} for finding in row.findings],
    }
