"""Codes are noted as equal only where every run of a method gives the numbers of before."""

import dataclasses
import sys
from pathlib import Path

import pytest

import bench.runner.stale
import tools.equal_code
from bench.grid.request import Request, runs_of
from bench.runner.stale import equal_codes, stale
from results import Cost, Identity, Record, Score, Where, save
from tools.equal_code import compare, main

WHERE = Where("2026-01-01", None, None, "python bench.py", "cpu", None)


def record(method: str, code: str, loss: float = 1.0, task: str = "digits") -> Record:
    identity = Identity("demo", method, "demo", task, "demo", 0)
    score = Score(0.5, train_losses=[loss])
    return Record(identity, "natural", 10, {}, {}, "ok", score, Cost(trainable=10), WHERE, method_code=code)


def test_every_run_of_a_method_must_agree(tmp_path: Path) -> None:
    for folder, code in (("before", "aaaa"), ("today", "bbbb")):
        for method in ("lora", "lora:rank=4", "dtl"):
            for task in ("digits", "count"):
                differs = (method, task, folder) == ("dtl", "count", "today")
                save(tmp_path / folder, record(method, code, 1.5 if differs else 1.0, task))
    same, differing = compare(tmp_path / "before", tmp_path / "today")
    assert same == {("lora", "aaaa", "bbbb")}
    assert list(differing) == ["dtl"]
    assert "train_losses was [1.0] and is [1.5]" in differing["dtl"]


def test_a_record_of_equal_code_is_not_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = runs_of(Request(methods="linear", tasks="digits"))
    now = bench.runner.stale.method_digest("linear")
    resolved = {"method": run.settings(), "recipe": dataclasses.asdict(run.recipe), "identity": run.identity()}
    old = dataclasses.replace(record("linear", "0ld0ld00"), **resolved)
    assert stale(run, old) == "were made by other code of their method"
    rewritten = ("0ld0ld00", "between0", now)  # twice; what is equal to its equal is equal
    for folder, code in zip(("before", "between", "today"), rewritten, strict=True):
        save(tmp_path / folder, dataclasses.replace(old, method_code=code))
    for module in (bench.runner.stale, tools.equal_code):
        monkeypatch.setattr(module, "EQUAL_CODE", tmp_path / "equal_code.csv")
    for pair in (("before", "between"), ("between", "today")):
        monkeypatch.setattr(sys, "argv", ["equal_code", *(str(tmp_path / folder) for folder in pair)])
        equal_codes.cache_clear()
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    equal_codes.cache_clear()
    assert stale(run, old) == ""
    equal_codes.cache_clear()
