"""The Slurm launcher on a real Slurm of one node; skipped, with the reason, where none can be started."""

import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

import results
from bench.cli.grid import Launch, grid
from bench.errors import UsageError
from bench.grid.grid import Outcome
from bench.grid.request import Request
from bench.grid.slurm import SlurmOptions
from bench.settings import RunSettings
from results import Record
from tests.slurm import cluster

pytestmark = pytest.mark.slow
CPU = RunSettings(torch.device("cpu"))
WHERE = {"partition": "bench"}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("slurm")
    try:
        yield from _started(folder)
    finally:
        cluster.stop(folder)


def _started(folder: Path) -> Iterator[str]:
    try:
        conf = cluster.start(folder)
    except cluster.NoSlurm as error:
        pytest.skip(f"no Slurm here: {error}")
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = conf
    yield conf
    subprocess.run(["scancel", "--me", "--signal=KILL"], check=False)
    os.environ.pop("SLURM_CONF") if before is None else os.environ.update(SLURM_CONF=before)


def call(root: Path, methods: str, jobs: int, **words: object) -> tuple[Outcome, str]:
    console = Console(file=io.StringIO(), width=200)
    options = SlurmOptions(time="30", array=jobs, passed=WHERE)
    request = Request(methods=methods, tasks="digits", **{"epochs": 1, **words})
    return grid(request, root, CPU, console, Launch(slurm=options, device="cpu")), console.file.getvalue()


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, subprocess.run(["squeue"], capture_output=True, text=True).stdout
        time.sleep(0.2)


def records(root: Path) -> dict[str, Record]:
    return {path.name: results.load(path) for path in (root / "runs").rglob("*.json")}


def jobs() -> list[str]:
    shown = subprocess.run(["squeue", "--me", "-h", "-o", "%i"], capture_output=True, text=True, check=True)
    return shown.stdout.split()


def test_a_grid_is_submitted_once_and_collected_by_later_calls(slurm: str, tmp_path: Path) -> None:
    outcome, shown = call(tmp_path, "linear,bitfit", 2)
    assert (outcome.done, outcome.there) == (0, 0)
    assert "2 runs submitted to 2 jobs" in shown
    outcome, shown = call(tmp_path, "linear,bitfit,lora", 2)
    assert "1 run submitted to 1 job " in shown
    assert "2 were on their way before" in shown
    until(lambda: len(records(tmp_path)) == 3 and not jobs())
    outcome, shown = call(tmp_path, "linear,bitfit,lora", 2)
    assert (outcome.there, len(outcome.records)) == (3, 3)
    assert "submitted" not in shown
    assert not list((tmp_path / "slurm").glob("*.json"))
    assert {record.status for record in records(tmp_path).values()} == {"ok"}
    assert not any("submit" in record.where.command for record in records(tmp_path).values())


def test_a_preempted_job_is_queued_again_and_keeps_what_it_had(slurm: str, tmp_path: Path) -> None:
    call(tmp_path, "linear,lora:rank=2", 1, epochs=4)
    (job,) = jobs()
    until(lambda: len(records(tmp_path)) == 1 and bool(list((tmp_path / "claims").rglob("*.claim"))))
    before = records(tmp_path)
    subprocess.run(["scancel", "--signal=USR2", job], check=True)  # what Slurm sends before it preempts
    until(lambda: "Restarts=1" in _shown(job) and "PENDING" in _shown(job))
    assert not list((tmp_path / "claims").rglob("*.claim"))
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=True)  # else it waits two minutes
    until(lambda: len(records(tmp_path)) == 2 and not jobs())
    assert before.items() <= records(tmp_path).items()


def _shown(job: str) -> str:
    return subprocess.run(["scontrol", "show", "job", job], capture_output=True, text=True).stdout


def test_what_slurm_refuses_is_a_sentence(slurm: str, tmp_path: Path) -> None:
    options = SlurmOptions(passed={"partition": "nowhere"})
    with pytest.raises(UsageError, match="check --slurm"):
        grid(Request(methods="linear", tasks="digits"), tmp_path, CPU, Console(), Launch(slurm=options))
