"""Calls of the command line inside the process of the tests: a process of its own imports for seconds."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli.app import app
from tests.tree import ROOT


@dataclass(frozen=True)
class Done:
    """What a process would have left."""

    returncode: int
    stdout: str
    stderr: str


def called(*words: str, folder: Path = ROOT, columns: int = 160, **environment: str) -> Done:
    """Call `bench.py` with these words in a folder; anything but an exit fails the test, as a traceback would."""
    with pytest.MonkeyPatch.context() as patch, own_loggers():
        patch.chdir(folder)
        patch.setattr(sys, "argv", [str(ROOT / "bench.py"), *words])
        for name, value in {"COLUMNS": str(columns), **environment}.items():
            patch.setenv(name, value)
        result = CliRunner().invoke(app, words, prog_name="bench.py")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)


@contextlib.contextmanager
def own_loggers() -> Iterator[None]:
    """Takes back what the command line does to the loggers of a process that has only one call."""
    loggers = [logging.getLogger(name) for name in ("bench", "methods", "datasets", "methods.backbones.weights")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
