"""A run as words: what goes to another process, which turns it back into the run. Sources of images do not travel."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import results
from bench.request import Request, runs_of
from bench.run import Run

__all__ = ["Sent", "words_of"]


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
    return json.dumps(dataclasses.asdict(request), default=str)  # a folder as its path


@cache
def _runs(request: str) -> dict[str, Run]:
    words = json.loads(request)
    runs = runs_of(Request(**words | {"data": Path(words["data"])}))
    return {str(results.path_of(Path(), run.identity())): run for run in runs}
