"""Without a terminal a grid says a line a run and, now and then, how far it is and what is best."""

import io
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.grid import progress
from bench.grid.grid import look, run_grid
from bench.settings import RunSettings
from tests.bench.tiny import runs


def test_how_far_it_is_and_what_is_best_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "STANDING_SECONDS", 0.0)
    asked = runs("linear,lora", seeds=(0, 1))
    console = Console(file=io.StringIO(), width=200)
    settings = RunSettings(torch.device("cpu"))
    outcome = run_grid(look(asked, tmp_path, settings), tmp_path, settings, console)
    assert outcome.done == 4
    said = [line for line in console.file.getvalue().splitlines() if " are over, " in line]
    assert said[0].startswith("1 of 4 runs are over, about 1 min left; best so far, on all tasks: linear ")
    assert said[-1].startswith("4 of 4 runs are over, none is left; ")
    assert "lora" in said[-1]
    assert "linear" in said[-1]
