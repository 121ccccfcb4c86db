"""Names of files that are not UTF-8: one run of them ends nothing, and no report or export either."""

import dataclasses
import io
import os
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

import datasets
import reports.everything
from bench.run import Run
from bench.runner.attempt import log_path, write_log
from bench.runner.execute import execute
from bench.settings import CacheLimits, RunSettings
from reports import write_all
from results import Cost, Record, load, path_of, readable, save
from results.frame import export
from results.verify import verify
from tests.bench import tiny
from tests.bench.features.test_reader import CPU
from tests.datasets.made import write

CAFE = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("café 猫 🐈", "café 猫 🐈"), (CAFE, r"caf\xe9"), ("\ud800", r"\ud800"), ("\\xe9", "\\xe9")],
)
def test_only_what_no_encoding_takes_is_escaped(text: str, shown: str) -> None:
    assert readable(text) == shown
    readable(text).encode()


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """On a folder whose name, classes and files are not UTF-8."""
    monkeypatch.setattr("bench.runner.execute.planned_cost", lambda *_: Cost())
    folder = tmp_path / f"own {CAFE}"
    for name in (CAFE, "tea"):
        for number in range(5):
            write(folder / name / f"{CAFE}{number}.png", number)
    (task,) = datasets.suite(f"folder:{folder}").tasks
    return dataclasses.replace(tiny.run(), suite="folder", task=task)


def test_a_run_has_a_record_a_log_reports_and_exports(tmp_path: Path, run: Run) -> None:
    how = RunSettings(CPU, cache_limits=CacheLimits(device=0), cache_folder=tmp_path / "features", cache_features="on")
    record = execute(run, how)
    assert record.speedups.feature_cache == "disk"
    path = save(tmp_path, record)
    assert path == path_of(tmp_path, run.identity())
    found = load(path)
    assert (found.identity.task, found.class_names) == (r"own caf\xe9", [r"caf\xe9", "tea"])
    assert verify(tmp_path).sound()
    save(tmp_path, dataclasses.replace(record, identity=tiny.run().identity()))
    console = Console(file=io.StringIO(), width=300)
    assert write_all(tmp_path, None, tmp_path / "out", console)
    assert "xe9" in (tmp_path / "out" / "accuracy-folder-own-caf-xe9-random-small-demo.md").read_text()
    for name in ("all.csv", "all.parquet"):
        assert export([record, found], tmp_path / name) == 2
    write_log(tmp_path, run, f"{CAFE}1.png is damaged")
    assert log_path(tmp_path, run).read_text() == r"caf\xe91.png is damaged"


def test_a_row_that_a_report_cannot_show_costs_a_sentence(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    record: Record = execute(run, RunSettings(CPU))
    for seed in range(3):
        save(tmp_path, dataclasses.replace(record, identity=dataclasses.replace(record.identity, seed=seed)))
    find = reports.everything.find

    def picky(name: str) -> object:
        def report(runs: pd.DataFrame) -> list:
            if name == "accuracy" and (runs["seed"] == 1).any():
                raise KeyError("one")
            return find(name)(runs)

        return report

    monkeypatch.setattr(reports.everything, "find", picky)
    console = Console(file=io.StringIO(), width=300)
    assert write_all(tmp_path, ["accuracy", "tradeoff"], tmp_path / "out", console)
    assert (
        r"accuracy leaves out what it cannot show (KeyError: 'one'): linear on own caf\xe9" in console.file.getvalue()
    )
    assert "2" in (tmp_path / "out" / "accuracy-folder-own-caf-xe9-random-small-demo.md").read_text()


def test_numbers_that_no_column_holds_are_exported_as_text(tmp_path: Path, run: Run) -> None:
    record = execute(run, RunSettings(CPU))
    large = dataclasses.replace(record, cost=dataclasses.replace(record.cost, total=10**30))
    assert export([record, large], tmp_path / "all.csv") == 2
