"""What stands around every command: errors as one sentence, with the exit code that says whose they are."""

from __future__ import annotations

import functools
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec

import typer
from rich.console import Console
from typer.core import TyperGroup

from bench.errors import UsageError
from bench.surroundings import settle

__all__ = ["OneSentence", "check_folder", "check_place", "console", "guarded"]

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """No traceback reaches a user unless --debug: a wrong call exits with 2, anything else that goes wrong with 1."""

    @functools.wraps(command)
    def run(*arguments: P.args, **options: P.kwargs) -> None:
        try:
            _prepare(options)
            command(*arguments, **options)
        except KeyboardInterrupt:
            _stop("stopped; every run that had finished is kept, and the same call goes on from there", 130)
        except UsageError as error:
            _stop(str(error), 2)
        except Exception as error:
            if isinstance(error, typer.Exit) or "--debug" in sys.argv:
                raise
            if isinstance(error, ModuleNotFoundError):
                _stop(
                    f"{error.name} is not in this Python; call .venv/bin/python bench.py, which `make setup` makes", 2
                )
            _stop(f"{type(error).__name__}: {error} (unexpected; --debug before the command shows where)", 1)

    return run


class OneSentence(TyperGroup):
    """Says in one sentence what value an option does not take, as the commands do of what they check themselves."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """Read the words before a command."""
        with _said():
            return super().make_context(*arguments, **more)

    def invoke(self, *arguments: Any, **more: Any) -> Any:
        """Read the words behind a command, and do it."""
        with _said():
            return super().invoke(*arguments, **more)


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        text = error.format_message().replace("Value error, ", "")
        _stop(re.sub("^Invalid value for '(.*?)': ", r"\1: ", text), 2)


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
    """Where a command speaks."""
    return Console(stderr=stderr)


def _prepare(options: dict[str, Any]) -> None:
    """Expand the paths and settle the process, before anything large is imported."""
    for name, value in options.items():
        options[name] = _expanded(value)
    if getattr(options.get("context"), "invoked_subcommand", None) is None:  # else the command behind it does this
        settle(options.get("results") or options.get("data"))


def _expanded(value: Any) -> Any:
    """The value with the home in place of ~ in every path, which a shell does not do behind `=`."""
    if isinstance(value, list):
        return [_expanded(each) for each in value]
    if not isinstance(value, Path):
        return value
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise UsageError(f"there is no home for {value}; write the path without ~") from error


def _stop(message: str, code: int) -> None:
    console(stderr=True).print(f"error: {message}" if code != 130 else message, markup=False, soft_wrap=True)
    raise typer.Exit(code)
