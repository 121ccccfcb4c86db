"""What --dry-run says: hours here and on measured GPUs, for one device and for several, and where they come from."""

import io
import re
from pathlib import Path

import torch
from rich.console import Console

import results
from bench.cli.dry_run import preview
from bench.grid.grid import look
from bench.run import Run
from bench.settings import RunSettings
from tests.bench.grid.test_estimate import measured, record
from tests.bench.tiny import runs


def shown(asked: list[Run], root: Path, workers: int) -> str:
    console, settings = Console(file=io.StringIO(), width=200), RunSettings(torch.device("cpu"))
    preview(look(asked, root, settings), settings.device, workers, root, console)
    return console.file.getvalue()


def test_hours_on_a_gpu_come_from_steps_that_were_measured_there(tmp_path: Path) -> None:
    asked = runs("linear,lora", tasks=2, epochs=4_800_000)  # 12 images an epoch at 400 a second: 40 hours a run
    for run in asked[:2]:
        results.save_cost(tmp_path, measured(run))
    text = shown(asked, tmp_path, 4)
    assert "runs     4, of which 0 are there and 4 are left" in text
    assert re.search(r"on NVIDIA H200: about 160.0 GPU-hours for what is left.*; 40.0 h with 4 workers", text)
    assert "by measured steps (4 runs); 40 test images in all" in text
    assert "time     not known for 4 runs, 40 test images in all: no record in" in text


def test_a_gpu_that_knows_only_some_runs_says_so(tmp_path: Path) -> None:
    asked = [*runs("linear", epochs=10), *runs("linear", epochs=10, precision="bf16")]
    results.save_cost(tmp_path, measured(asked[0]))
    assert "for 1 run known there" in shown(asked, tmp_path, 1)


def test_records_of_like_runs_come_first(tmp_path: Path) -> None:
    results.save(tmp_path, record(runs("linear")[0], train_seconds=100.0, test_seconds=0.0))  # 1 s an image
    asked = runs("linear", epochs=600)
    text = shown(asked, tmp_path, 1)
    assert "time     about 2.0 h" in text
    assert "records of runs (1 run)" in text
    asked += runs("lora", epochs=600)
    assert "planned FLOPs at the speed of recorded runs (1 run)" in shown(asked, tmp_path, 1)
