"""A run as words: what goes to another process, which turns it back into the run. Sources of images do not travel."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import torch

import results
from bench.execution import Execution
from bench.request import Request, runs_of
from bench.run import Run

__all__ = ["Sent", "execution_of", "words_of", "words_of_execution"]


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
    """The request as JSON."""
    return json.dumps(dataclasses.asdict(request))


@cache
def _runs(request: str) -> dict[str, Run]:
    return {str(results.path_of(Path(), run.identity())): run for run in runs_of(Request(**json.loads(request)))}


def words_of_execution(how: Execution) -> str:
    """Everything about how to run but the device, as JSON: that is chosen where the run is."""
    values = {key: value for key, value in vars(how).items() if key != "device"}
    return json.dumps({key: str(value) if isinstance(value, Path) else value for key, value in values.items()})


def execution_of(words: str, device: torch.device) -> Execution:
    """The inverse, on a device."""
    hints = get_type_hints(Execution)
    values = json.loads(words)
    paths = {key for key, hint in hints.items() if Path in (hint, *get_args(hint))}
    made: dict[str, Any] = {key: Path(value) if key in paths and value else value for key, value in values.items()}
    return Execution(device=device, **made)
