"""Every stage of the check of a GPU, tried on the CPU at tiny size: its files and their columns, and what fails."""

import contextlib
import io
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from rich.console import Console

import tools.gpu.command_line
from bench.cli.app import app
from reports import find
from reports.discovery import READS
from results import load_measured, save_measured
from tests.methods.small import SMALL
from tools.gpu.__main__ import STAGES
from tools.gpu.screen import Screen
from tools.gpu.session import Session, Sizes

TINY = Sizes(SMALL.name, (2,), 2, 2, 4, 2, "digits", "linear", "eager", 2, 3, 2, 1)
CARD = {"method": "lora", "compiled": False, "status": "ok", "train_images_per_second": 1.0,
        "inference_images_per_second": 1.0, "device": "NVIDIA H200"}  # fmt: skip
ABOUT = {"device", "driver", "date", "commit", "dirty", "command", "python", "torch", "timm"}
COLUMNS = {  # of each file, some that the report or the plan of a repair needs
    "gpu_memory": {"method", "batch_size", "precision", "attention", "planned_allocated_bytes", "allocated_bytes",
                   "planned_reserved_bytes", "reserved_bytes", "workspace_bytes"},
    "gpu_embedded": {"method", "task", "status", "test_accuracy", "cpu_test_accuracy", "loss_difference"},
    "gpu_waiting": {"method", "steps", "waits_in_last_epoch", "within_steps", "lines"},
    "gpu_vtab_task": {"method", "task", "status", "planned_allocated_bytes", "last_epoch_seconds", "feature_cache"},
    "gpu_speed": {"method", "compiled", "train_images_per_second", "train_images_per_second_low", "utilisation",
                  "inference_images_per_second", "joules_per_image"},
    "gpu_loop": {"method", "bench_seconds", "bare_seconds", "ratio"},
    "gpu_cached": {"method", "uncached_run_seconds", "cached_run_seconds", "ratio"},
    "gpu_hours": {"method", "train_hours", "test_hours"},
    "gpu_pretrain": {"steps", "shipped_accuracy", "new_accuracy", "shipped_bytes", "new_bytes", "worth_keeping"},
}  # fmt: skip


def started(words: Sequence[str], results: Path) -> Any:
    """The command line with these words in this process, since another one would import everything anew."""
    results.mkdir(parents=True)
    places = ["--results", str(results), "--out", str(results / "out")]
    with (results / "log.txt").open("w") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        code = app([*words, *places], standalone_mode=False)
    return SimpleNamespace(wait=lambda timeout=None: code or 0)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Session, str]:
    """The folder of results, the session and what it said, after all stages."""
    results = tmp_path_factory.mktemp("results")
    save_measured(results, "gpu_speed", [CARD])
    console = Console(file=io.StringIO(), width=100)
    screen = Screen(console, list(STAGES), 30)
    session = Session(torch.device("cpu"), TINY, results, 30, "abcdef0", screen)
    with pytest.MonkeyPatch.context() as patch, screen:
        patch.setattr(tools.gpu.command_line, "_start", started)
        patch.setattr("reports.write_all", lambda *_: [])  # of each command; reports have tests of their own
        for stage, work in STAGES.items():
            session.run(stage, work)
    assert isinstance(console.file, io.StringIO)
    return results, session, console.file.getvalue()


@pytest.mark.slow
def test_every_stage_writes_its_file(tried: tuple[Path, Session, str]) -> None:
    results, session, said = tried
    assert session.failures == []
    assert {path.stem for path in (results / "measured").glob("*.csv")} == set(COLUMNS)
    for name, columns in COLUMNS.items():
        rows = load_measured(results, name)
        assert rows is not None
        assert columns | ABOUT <= set(rows), name
        assert rows["device"].str.startswith("cpu").sum() == len(rows) - (name == "gpu_speed")
    rows = load_measured(results, "gpu_pretrain")
    assert rows is not None
    assert rows["new_bytes"].item() == (results / "measured" / "pretrained.safetensors").stat().st_size
    assert abs(rows["new_bytes"].item() - rows["shipped_bytes"].item()) < 1000
    assert 0 < rows["new_accuracy"].item() < rows["shipped_accuracy"].item()  # two steps teach little
    assert not rows["worth_keeping"].item()
    assert re.findall(r"^ *\d+ s  (\w+): \d+ s$", said, re.MULTILINE) == list(STAGES)


@pytest.mark.slow
def test_the_numbers_are_those_of_the_command_line(tried: tuple[Path, Session, str]) -> None:
    rows = {name: load_measured(tried[0], name) for name in COLUMNS}
    embedded, waiting, speed = rows["gpu_embedded"], rows["gpu_waiting"], rows["gpu_speed"]
    assert embedded is not None
    assert embedded["status"].tolist() == ["ok"]
    assert embedded["loss_difference"].tolist() == [0.0]  # a CPU beside itself
    assert waiting is not None
    assert waiting["waits_in_last_epoch"].tolist() == [0]
    assert speed is not None
    assert set(speed["method"]) == {"(timm)", "full", "linear", "lora"}
    assert (speed["train_images_per_second"].dropna() > 0).all()


@pytest.mark.slow
def test_rows_of_another_card_stay_and_are_not_counted(tried: tuple[Path, Session, str]) -> None:
    speed, hours = (load_measured(tried[0], name) for name in ("gpu_speed", "gpu_hours"))
    assert speed is not None
    assert speed[speed["device"] == CARD["device"]]["train_images_per_second"].tolist() == [1.0]
    assert hours is not None
    assert hours["method"].tolist() == ["linear"]


@pytest.mark.slow
def test_the_report_shows_them(tried: tuple[Path, Session, str]) -> None:
    items = find("gpu")(*(load_measured(tried[0], name) for name in READS["gpu"]))
    shown = {item.name.split("-cpu")[0] for item in items if "-cpu" in item.name}
    assert shown == {
        f"gpu-{part}" for part in ("memory", "speed", "loop", "embedded", "vtab-task", "waiting", "cached", "hours")
    }


def broken(session: Session) -> None:
    session.save("speed", [{"method": "lora"}, {"method": "full"}])
    raise RuntimeError("no kernel image is available\nand more")


def test_what_fails_is_a_row_and_the_next_stage_goes_on(tmp_path: Path) -> None:
    session = Session(torch.device("cpu"), TINY, tmp_path, 30)
    done: list[str] = []
    session.run("speed", broken)
    session.run("loop", lambda _: done.append("loop"))
    assert done == ["loop"]
    rows = load_measured(tmp_path, "gpu_failures")
    assert isinstance(rows, pd.DataFrame)
    assert rows[["stage", "error"]].to_numpy().tolist() == [["speed", "RuntimeError: no kernel image is available"]]


def test_a_pipe_gets_lines_and_a_terminal_a_table_of_the_stages(tmp_path: Path) -> None:
    for terminal in (False, True):
        console = Console(file=io.StringIO(), width=160, force_terminal=terminal, color_system=None)
        screen = Screen(console, ["speed", "loop", "cached"], 30)
        session = Session(torch.device("cpu"), TINY, tmp_path, 30, screen=screen)
        with screen:
            session.run("speed", broken)
            session.minutes = 0
            session.run("loop", broken)
        assert isinstance(console.file, io.StringIO)
        plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]|\r", "", console.file.getvalue())
        lines = [" ".join(line.split()) for line in plain.splitlines()]
        assert [line.partition(" s ")[2] for line in lines if re.match(r"\d+ s ", line)] == [
            "FAILED speed : RuntimeError: no kernel image is available",
            "speed: 0 s",
            "loop: left out, the time is over",
        ]
        last = "FAILED speed : RuntimeError: no kernel image is available"
        table = [f"speed done 0 2 1 {last}", "loop left out, the time is over", "cached to come"]
        assert lines[-4:-1] == table if terminal else len(lines) == 3
