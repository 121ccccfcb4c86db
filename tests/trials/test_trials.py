"""A short form of `make faults`: the parent and a worker are killed, and the grid ends as if undisturbed."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from bench.grid.grid import look, run_grid
from results import Cost
from tests.trials.act import asked
from tests.trials.grid import CPU
from tests.trials.kills import kills


def test_kills_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runner.execute.planned_cost", lambda *_: Cost())  # as in the trials
    like, grid = tmp_path / "undisturbed", list(asked(seeds=1, epochs=4).values())
    assert not run_grid(look(grid, like, CPU), like, CPU, Console(file=io.StringIO())).failed
    # the dice of seed 1 say: the parent, then the worker
    trial = kills(tmp_path, like, wanted=2, seeds=1, longest_pause=1.0, tell=print, seed=1, workers=1)
    assert (trial.tried, trial.survived, trial.lost) == (2, 2, 0), trial.note
