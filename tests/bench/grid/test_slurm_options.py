"""The words of --slurm, and what goes to a job."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from bench.errors import WrongCall
from bench.grid.request import Request, runs_of
from bench.grid.sent import Sent, execution_of, record_of, request_of, words_of, words_of_execution
from bench.grid.slurm_options import minutes, parse_slurm, slurm_options
from bench.settings import Execution, Keep, Reading
from methods.backbones.registry import EMBEDDED


def test_words_become_what_sbatch_wants() -> None:
    options = parse_slurm("partition=gpu,time=1-12:00:00,gpus=2,array=8,chunk=3,cpus=6")
    assert (options.array, options.chunk) == (8, 3)
    assert options.parameters() == {
        "partition": "gpu",
        "cpus_per_task": "6",
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
    assert minutes(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partiton=gpu", "did you mean 'partition'"),
        ("gpus", "is no setting"),
        ("gpus=", "is no setting"),
        ("array=0", "no number"),
        ("gpus=x", "no number"),
        ("time=soon", "is no time"),
        ("time=1:2:3:4", "is no time"),
    ],
)
def test_what_does_not_fit_is_a_wrong_call(text: str, said: str) -> None:
    with pytest.raises(WrongCall, match=said):
        parse_slurm(text)


def test_options_that_would_do_nothing_are_wrong_calls() -> None:
    assert slurm_options("local", None, 3) is None
    with pytest.raises(WrongCall, match="--launcher slurm"):
        slurm_options("local", "gpus=1", None)
    with pytest.raises(WrongCall, match="array=32"):
        slurm_options("slurm", None, 3)


def test_a_run_is_the_same_on_the_other_side() -> None:
    request = Request(methods="linear,lora:rank=1/2", tasks="digits", seeds="0,1", epochs=3)
    for run in runs_of(request):
        sent = Sent(words_of(request), record_of(run))
        assert sent.run() == run


def test_a_run_that_means_something_else_there_is_refused() -> None:
    with pytest.raises(ValueError, match="call again"):
        Sent(words_of(Request(methods="linear")), "runs/other.json").run()


def test_words_mean_the_same_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights.safetensors").write_bytes(EMBEDDED.read_bytes())
    asked = Request(methods="linear", backbone="demo=weights.safetensors", data=Path("images"))
    words, here = words_of(asked.absolute()), [run.identity() for run in runs_of(asked)]
    monkeypatch.chdir("/")
    assert request_of(words).data == tmp_path / "images"
    there = runs_of(request_of(words))
    assert [run.identity() for run in there] == here
    assert {run.backbone.name for run in there} == {"demo"}


@pytest.mark.parametrize("text", [None, "demo", "random:demo"])
def test_a_backbone_without_a_file_stays_as_worded(text: str | None) -> None:
    assert Request(backbone=text).absolute().backbone == text


def test_how_travels_as_text_and_the_device_is_that_of_the_place() -> None:
    keep = Keep(frozenset({"weights", "features"}), Path("/results"))
    how = Execution(torch.device("cpu"), keep=keep, reading=Reading(2, Path("/cache"), 7, "skip"), compile="graphs")
    words = words_of_execution(how)
    assert isinstance(json.loads(words), dict)
    assert execution_of(words, torch.device("meta")) == dataclasses.replace(how, device=torch.device("meta"))
