"""The words of --slurm, and what a job does with the words it gets, called here as submitit calls it there."""

import dataclasses
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import results
from bench.errors import UsageError
from bench.grid.request import Request, runs_at, runs_of
from bench.grid.slurm import Job, slurm_options
from bench.run import record_of
from bench.settings import Keep, LoaderSettings, RunSettings
from datasets import suite
from methods.backbones.registry import EMBEDDED
from results import Cost
from tests.datasets.made import json_task

DTD = next(task for task in suite("vtab").tasks if task.name == "dtd")


@pytest.fixture(autouse=True)
def without_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runner.execute.planned_cost", lambda *_: Cost())
    monkeypatch.setattr(sys, "argv", sys.argv)  # a job takes that of the call


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A task whose images lie in a folder."""
    folder = tmp_path_factory.mktemp("data")
    json_task(folder / "dtd", DTD, train=8, test=5)
    return Request("linear", "vtab", "dtd", "random:test_vit", epochs=1, batch_size=4, data=folder)


def words(request: Request, root: Path, records: list[str] | None = None, **how: Any) -> dict[str, Any]:
    """What is submitted; it is pickled without anything of ours in it."""
    settings = RunSettings(torch.device("cpu"), **{"loader": LoaderSettings(workers=0), "cache_features": "off", **how})
    made = {
        "request": dataclasses.asdict(request.absolute()),
        "records": records or [record_of(run) for run in runs_of(request)],
        "root": str(root),
        "device": "cpu",
        "settings": {key: value for key, value in dataclasses.asdict(settings).items() if key != "device"},
        "failed": "slurm/x.failed",
        "command": ["bench.py"],
    }
    assert b"bench." not in pickle.dumps(made).replace(b"bench.py", b"").replace(str(root).encode(), b"")
    return made


def logs(root: Path) -> str:
    return "".join(path.read_text() for path in (root / "logs").rglob("*.log"))


def test_words_become_what_sbatch_wants() -> None:
    options = slurm_options("slurm", "partition=gpu,time=1-12:00:00,gpus=2,array=8,cpus=6", None)
    assert options is not None
    assert (options.array, options.device("auto"), options.device("cpu")) == (8, "cuda", "cpu")
    assert options.parameters() == {
        "partition": "gpu",
        "cpus_per_task": "6",
        "srun_args": ["--cpus-per-task=6"],
        "gpus_per_node": 2,
        "time": 2160,
        "array_parallelism": 8,
        "additional_parameters": {"requeue": True},
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [("30", 30), ("90:30", 91), ("4:00:00", 240), ("0:00:30", 1), ("2-0", 2880), ("1-1:30", 1530), ("1-0:0:1", 1441)],
)
def test_times_are_those_of_slurm(text: str, expected: int) -> None:
    options = slurm_options("slurm", f"time={text}", None)
    assert options is not None
    assert options.parameters()["time"] == expected


@pytest.mark.parametrize(
    ("launcher", "text", "workers", "said"),
    [
        ("slurm", "partiton=gpu", None, "did you mean 'partition'"),
        ("slurm", "gpus", None, "is no setting"),
        ("slurm", "gpus=", None, "is no setting"),
        ("slurm", "array=0", None, "no number"),
        ("slurm", "gpus=x", None, "no number"),
        ("slurm", "time=soon", None, "is no time"),
        ("slurm", "time=1:2:3:4", None, "is no time"),
        ("local", "gpus=1", None, "--launcher slurm"),
        ("slurm", None, 3, "array=32"),
    ],
)
def test_what_does_not_fit_is_a_wrong_call(launcher: str, text: str | None, workers: int | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        slurm_options(launcher, text, workers)


def test_a_job_does_the_runs_and_the_next_finds_them_done(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    Job()(words(request_, tmp_path))
    before = (tmp_path / record_of(run)).read_bytes()
    Job()(words(request_, tmp_path))
    assert (tmp_path / record_of(run)).read_bytes() == before
    Job()(words(request_, tmp_path, keep=Keep(frozenset({"weights"}), tmp_path)))
    record = results.load(tmp_path / record_of(run))
    assert results.has_kept(tmp_path, record, "weights")
    assert record.where.command == "python bench.py"


def test_a_run_that_is_none_any_more_has_a_log_and_the_others_are_done(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    gone = "runs/backbone/suite/task/linear-s0-00000000.json"
    Job()(words(request_, tmp_path, [gone, record_of(run)]))
    assert results.load(tmp_path / record_of(run)).status == "ok"
    assert "call again" in (tmp_path / "logs/backbone/suite/task/linear-s0-00000000.log").read_text()


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("settings", {"from": "another version"}, "the job could not do it: KeyError"),
        ("request", {"backbone": "demo=/nowhere/gone.pth"}, "gone.pth: there is no such file"),
    ],
)
def test_a_job_that_cannot_start_leaves_a_log_for_each_of_its_runs(
    request_: Request, tmp_path: Path, field: str, value: dict[str, str], said: str
) -> None:
    given = words(request_, tmp_path)
    with pytest.raises((KeyError, UsageError)):
        Job()(given | {field: value if field == "settings" else given[field] | value})
    assert said in logs(tmp_path)


def test_paths_inside_words_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, colour in (("a", 0), ("b", 200)):
        (tmp_path / "here" / "pics" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (colour, 0, 0)).save(tmp_path / "here" / "pics" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path / "here")
    Path("weights.safetensors").write_bytes(EMBEDDED.read_bytes())
    asked = Request("linear", "folder:pics:shots=2", None, "demo=weights.safetensors", epochs=1, batch_size=4)
    (run,) = runs_of(asked)
    given = words(asked, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    Job()(given)
    assert results.load(tmp_path / "results" / record_of(run)).status == "ok"


@pytest.mark.parametrize("text", [None, "demo", "random:demo"])
def test_a_backbone_without_a_file_stays_as_worded(text: str | None) -> None:
    assert Request(backbone=text).absolute().backbone == text


def test_runs_are_found_by_their_records(request_: Request) -> None:
    asked = Request(methods="linear,lora:rank=1/2", tasks="digits", seeds="0,1", epochs=3)
    runs = runs_of(asked)[::-1]
    assert runs_at(asked, [record_of(run) for run in runs]) == runs
    with pytest.raises(ValueError, match="call again"):
        runs_at(asked, ["runs/other.json"])
