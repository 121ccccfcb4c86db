"""What stands around every command: errors as one sentence, with the exit code that says whose they are."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from bench.errors import UsageError
from bench.surroundings import settle

__all__ = ["Command", "Group", "check_folder", "check_place", "console", "say"]


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Let no traceback reach a user unless --debug: a wrong call exits with 2, anything else that goes wrong with 1."""
    try:
        yield
    except KeyboardInterrupt:
        _stop("stopped; every run that had finished is kept, and the same call goes on from there", 130)
    except UsageError as error:
        _stop(str(error), 2)
    except typer.BadParameter as error:
        text = error.format_message().replace("Value error, ", "")
        _stop(re.sub("^Invalid value for '(.*?)': ", r"\1: ", text), 2)
    except Exception as error:
        if hasattr(error, "exit_code") or "--debug" in sys.argv:  # those of typer: an end, or a sentence of its own
            raise
        if isinstance(error, ModuleNotFoundError):
            _stop(f"{error.name} is not in this Python; call .venv/bin/python bench.py, which `make setup` makes", 2)
        _stop(f"{type(error).__name__}: {error} (unexpected; --debug before the command shows where)", 1)


def _stop(message: str, code: int) -> None:
    console(stderr=True).print(f"error: {message}" if code != 130 else message, markup=False, soft_wrap=True)
    raise typer.Exit(code)


class Group(TyperGroup):
    """Commands whose errors are one sentence each, those of reading the words included."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """Read the words before a command."""
        with _one_sentence():
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        """Read the words behind a command, and do it."""
        with _one_sentence():
            ctx.params = _expanded(ctx.params)
            return super().invoke(ctx)


class Command(TyperCommand):
    """A command of a group; the process is settled before it imports anything large."""

    def invoke(self, ctx: Any) -> Any:
        """Do it."""
        ctx.params = _expanded(ctx.params)
        settle(ctx.params.get("results") or ctx.params.get("data"))
        return super().invoke(ctx)


def _expanded(value: Any) -> Any:
    """Put the home in place of ~ in every path, which a shell does not do behind `=`."""
    if isinstance(value, dict):
        return {name: _expanded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    if not isinstance(value, Path):
        return value
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise UsageError(f"there is no home for {value}; write the path without ~") from error


def check_place(context: typer.Context) -> None:
    """Options of the grid do nothing before another command: say so instead of leaving them out."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if name != "debug" and source is not None and source.name == "COMMANDLINE":
            raise UsageError(
                f"--{name.strip('_').replace('_', '-')} must stand behind {context.invoked_subcommand}, not before it"
            )


def check_folder(folder: Path, option: str = "--results") -> None:
    """Try to write below a folder before any work; raise UsageError that names the `option` which chooses it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another folder with {option}") from error


def console(stderr: bool = False) -> Console:
    """Make the console on which a command speaks."""
    return Console(stderr=stderr)


def say(console: Console, sentence: str) -> None:
    """Print a sentence as it is: names of files may look like markup, and a line that is copied has no breaks."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)
