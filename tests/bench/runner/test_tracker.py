"""A tracker is told of every epoch and of the record, whichever it is; without one, none is touched."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

import bench.runner.execute
import results
from bench.errors import UsageError
from bench.runner.attempt import Call, Tries, attempt
from bench.runner.tracker import check_tracker
from bench.settings import RunSettings
from bench.train.loop import Epoch
from results import Cost, Record
from tests.bench.tiny import run


class Hosted(ModuleType):
    """Stands for trackio and for wandb."""

    def __init__(self) -> None:
        super().__init__("hosted")
        self.told: list[tuple[str, Any]] = []

    def init(self, **words: Any) -> SimpleNamespace:
        self.told.append(("init", words))
        return SimpleNamespace(url=None)

    def log(self, values: dict[str, float], step: int | None = None) -> None:
        self.told.append(("log", (step, values)))

    def finish(self) -> None:
        self.told.append(("finish", None))


class Writer:
    """Stands for TensorBoard's writer."""

    written: dict[str, list[tuple[str, float, int]]] = {}  # noqa: RUF012

    def __init__(self, folder: str) -> None:
        self.rows = self.written.setdefault(folder, [])

    def add_text(self, key: str, text: str) -> None:
        assert "rank" in text

    def add_scalar(self, key: str, value: float, step: int) -> None:
        self.rows.append((key, value, step))

    def close(self) -> None:
        self.rows.append(("closed", 0.0, 0))


def tracked(root: Path, log: Any, monkeypatch: pytest.MonkeyPatch, method: str = "lora") -> Record:
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost(trainable=7))
    (root / "tries").mkdir(parents=True)
    asked = run(method, epochs=3)
    settings = RunSettings(torch.device("cpu"), log=log)
    event = attempt(asked, Call(root, settings, Tries(root / "tries", root / "failed")))
    assert event.what == "done", event.sentence
    return results.load(results.path_of(root, asked.identity()))


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_a_hosted_tracker_is_told_all(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosted = Hosted()
    monkeypatch.setitem(sys.modules, name, hosted)
    record = tracked(tmp_path, name, monkeypatch)
    (first, words), *epochs, (_, (_, last)), (end, _) = hosted.told
    assert (first, end) == ("init", "finish")
    assert words["project"] == "petl-bench"
    assert words["config"]["recipe/epochs"] == 3
    assert [step for _, (step, _) in epochs] == [1, 2, 3]
    assert [values["train/loss"] for _, (_, values) in epochs] == record.score.train_losses
    assert last["record/test_accuracy"] == record.score.test_accuracy
    assert last["record/trainable"] == 7
    assert record.where.log == f"{name}:petl-bench/{words['name']}"
    assert (tmp_path / "runs" / f"{words['name']}.json").is_file()


def test_tensorboard_writes_below_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Writer))
    record = tracked(tmp_path, "tensorboard", monkeypatch)
    rows = Writer.written[str(tmp_path / str(record.where.log))]
    assert [value for key, value, _ in rows if key == "train/loss"] == record.score.train_losses
    assert ("record/test_accuracy", record.score.test_accuracy, 0) in rows
    assert rows[-1][0] == "closed"


def test_a_run_that_is_done_again_without_kept_features_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted, train, ended = Hosted(), bench.runner.execute.train, list[int]()

    def full_at_first(*given: Any) -> None:
        *rest, after = given

        def then(epoch: Epoch) -> None:
            after(epoch)
            ended.append(epoch.number)
            if len(ended) == 2:
                raise torch.OutOfMemoryError("CUDA out of memory")

        train(*rest, then)

    monkeypatch.setattr(bench.runner.execute, "train", full_at_first)
    monkeypatch.setitem(sys.modules, "trackio", hosted)
    record = tracked(tmp_path, "trackio", monkeypatch, "linear")
    assert record.speedups.feature_cache_reason == "memory ran out with them"
    assert ended == [1, 2, 1, 2, 3]
    assert [values[0] for said, values in hosted.told if said == "log"] == [1, 2, 3, None]


@pytest.mark.parametrize("broken", ["log", "finish"])
def test_a_tracker_that_fails_costs_the_run_nothing(
    broken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("no route to the tracker")

    hosted = Hosted()
    monkeypatch.setattr(hosted, broken, refuse)
    monkeypatch.setitem(sys.modules, "trackio", hosted)
    assert tracked(tmp_path, "trackio", monkeypatch).status == "ok"
    said = [line for line in caplog.messages if "--log trackio takes no more of" in line]
    assert len(said) == 1
    assert "no route to the tracker" in said[0]


def test_without_a_tracker_none_is_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> ModuleType:
        raise AssertionError(name)

    monkeypatch.setattr(importlib, "import_module", refuse)
    assert tracked(tmp_path, "off", monkeypatch).where.log is None


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_tracker("off")
    with pytest.raises(UsageError, match=r"--log wandb needs a package .* call .venv/bin/pip install wandb"):
        check_tracker("wandb")
