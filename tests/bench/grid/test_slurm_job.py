"""What a job does with the words it gets, called here as submitit calls it there."""

import dataclasses
import io
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console

import results
from bench.grid.request import Request, runs_of
from bench.grid.sent import record_of, request_of, words_of, words_of_execution
from bench.grid.slurm_job import Chunk, Errand, print_of
from bench.settings import Execution, Keep, Reading
from datasets import suite
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


def errand(request: Request, root: Path, records: list[str], again: dict[str, str] | None = None) -> Errand:
    how = Execution(torch.device("cpu"), reading=Reading(workers=0), cache_features="off")
    return Errand(words_of(request), records, str(root), "cpu", words_of_execution(how), again or {}, ["bench.py"])


def test_a_request_is_the_same_on_the_other_side(request_: Request) -> None:
    assert request_of(words_of(request_)) == request_


def test_runs_on_images_in_a_folder_are_done(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    Chunk()(errand(request_, tmp_path, [record_of(run)]).words())
    assert results.load(tmp_path / record_of(run)).status == "ok"


def test_force_means_the_records_of_before_and_not_those_of_the_job(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    path = tmp_path / record_of(run)
    Chunk()(errand(request_, tmp_path, [record_of(run)]).words())
    before = print_of(path)
    assert before is not None
    words = errand(request_, tmp_path, [record_of(run)], {record_of(run): before}).words()
    Chunk()(words)
    after = print_of(path)
    assert after != before
    Chunk()(words)  # queued again
    assert print_of(path) == after


def test_a_record_that_lacks_what_is_to_be_kept_is_made_again(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    sent = errand(request_, tmp_path, [record_of(run)])
    Chunk()(sent.words())
    keep = Keep(frozenset({"weights"}), tmp_path)
    how = words_of_execution(Execution(torch.device("cpu"), keep=keep, cache_features="off"))
    Chunk()(Errand(**{**vars(sent), "how": how}).words())
    assert results.has_kept(tmp_path, results.load(tmp_path / record_of(run)), "weights")


def test_a_run_that_is_none_any_more_is_said_and_has_a_log(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    console = Console(file=io.StringIO(), width=200)
    gone = "runs/backbone/suite/task/linear-s0-00000000.json"
    assert errand(request_, tmp_path, [gone, record_of(run)]).runs(console) == [run]
    assert "is no run of this grid here" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "call again" in (tmp_path / "logs/backbone/suite/task/linear-s0-00000000.log").read_text()


def test_a_relative_path_inside_a_word_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, colour in (("a", 0), ("b", 200)):
        (tmp_path / "here" / "pics" / name).mkdir(parents=True)
        for number in range(5):
            Image.new("RGB", (8, 8), (colour, 0, 0)).save(tmp_path / "here" / "pics" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path / "here")
    asked = Request("linear", "folder:pics:shots=2", None, "random:test_vit", epochs=1, batch_size=4)
    (run,) = runs_of(asked)
    words = errand(asked, tmp_path / "results", [record_of(run)]).words()
    monkeypatch.chdir(tmp_path)
    Chunk()(words)
    assert results.load(tmp_path / "results" / record_of(run)).status == "ok"


def test_a_job_that_cannot_start_leaves_a_log_for_each_of_its_runs(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    sent = errand(request_, tmp_path, [record_of(run)])
    with pytest.raises(KeyError):
        Chunk()(Errand(**{**vars(sent), "how": '{"from": "another version"}'}).words())
    (log,) = (tmp_path / "logs").rglob("*.log")
    assert "the job could not do it: " in log.read_text()


def test_a_backbone_that_is_gone_is_said_in_the_log(request_: Request, tmp_path: Path) -> None:
    (run,) = runs_of(request_)
    sent = errand(request_, tmp_path, [record_of(run)])
    gone = words_of(dataclasses.replace(request_, backbone=f"demo={tmp_path / 'gone.pth'}"))
    Chunk()(Errand(**{**vars(sent), "request": gone}).words())
    (log,) = (tmp_path / "logs").rglob("*.log")
    assert "gone.pth: there is no such file" in log.read_text()
