"""Who does the runs of a grid: this very process here, worker processes in `bench/grid/workers.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench.run import Run
from bench.runner.attempt import Event, attempt
from bench.settings import Execution
from bench.train.loop import Epoch

__all__ = ["Alone", "Answer", "Crew", "Watch"]

Watch = Callable[[int, Epoch], None]  # which worker, and the epoch that is over
Answer = tuple[int, Run, Event]


class Crew(Protocol):
    """Takes runs while a place is free and answers for each of them once."""

    def free(self) -> int | None: ...
    def busy(self) -> bool: ...
    def start(self, place: int, run: Run, over: str, force: bool) -> None: ...
    def wait(self, seconds: float, watch: Watch) -> list[Answer]: ...
    def close(self) -> None: ...


class Alone:
    """No other process: the run is done while it is waited for."""

    def __init__(self, root: Path, how: Execution) -> None:
        self._root, self._how = root, how
        self._given: tuple[Run, str, bool] | None = None

    def free(self) -> int | None:
        return None if self._given else 0

    def busy(self) -> bool:
        return self._given is not None

    def start(self, place: int, run: Run, over: str, force: bool) -> None:
        self._given = run, over, force

    def wait(self, seconds: float, watch: Watch) -> list[Answer]:
        if self._given is None:
            time.sleep(seconds)
            return []
        run, over, force = self._given
        event = attempt(run, self._root, self._how, lambda epoch: watch(0, epoch), over, force)
        self._given = None
        return [(0, run, event)]

    def close(self) -> None:
        """Nothing is left behind."""
