"""A run as words: what goes to another process, which turns it back into the run. Sources of images do not travel."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_type_hints

import torch

import results
from bench.grid.plain import made, plain
from bench.grid.request import Request, runs_of
from bench.run import Run
from bench.settings import Execution

__all__ = ["Sent", "execution_of", "record_of", "request_of", "words_of", "words_of_execution"]


@dataclass(frozen=True)
class Sent:
    """The grid that was asked for, as JSON, and which run of it is meant, as the path that its identity gives."""

    request: str
    record: str

    def run(self) -> Run:
        """The run; ValueError when the same words mean other runs here, as after a change of code or weights."""
        runs = _runs(self.request)
        if self.record not in runs:
            raise ValueError(f"{self.record} is no run of this grid here; the code or the weights changed, call again")
        return runs[self.record]


def words_of(request: Request) -> str:
    """The request as JSON, with absolute paths: whoever reads it may be in another folder."""
    return json.dumps(plain(request.absolute()))


def request_of(words: str) -> Request:
    """The inverse."""
    request: Request = made(Request, json.loads(words))
    return request


def record_of(run: Run) -> str:
    """The path of its record below any folder of results, which names the run among processes."""
    return str(results.path_of(Path(), run.identity()))


@cache
def _runs(request: str) -> dict[str, Run]:
    return {record_of(run): run for run in runs_of(request_of(request))}


def words_of_execution(how: Execution) -> str:
    """Everything about how to run but the device, as JSON: that is chosen where the run is."""
    return json.dumps({name: plain(value) for name, value in vars(how).items() if name != "device"})


def execution_of(words: str, device: torch.device) -> Execution:
    """The inverse, on a device."""
    hints, values = get_type_hints(Execution), json.loads(words)
    return Execution(device, **{name: made(hints[name], value) for name, value in values.items()})
