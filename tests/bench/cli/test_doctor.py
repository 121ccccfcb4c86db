"""`bench.py doctor` finds what is missing, says how to mend it, and ends with 1 for a problem."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tree import ROOT


def doctor(tmp_path: Path, *words: str, **environment: str) -> tuple[int, dict[str, Any], str]:
    """The exit code, the checks by what was looked at, and what went to stderr."""
    places = {"--results": tmp_path / "results", "--out": tmp_path / "out", "--data": tmp_path / "data"}
    given = dict(zip(words[::2], words[1::2], strict=True))
    command = [sys.executable, str(ROOT / "bench.py"), "doctor", "--json"]
    for option, place in places.items():
        command += [option, given.get(option, str(place))]
    variables = {"PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=variables | environment, cwd=tmp_path)
    return done.returncode, {check["what"]: check for check in json.loads(done.stdout or "[]")}, done.stderr


def test_a_machine_in_order(tmp_path: Path) -> None:
    code, checks, said = doctor(tmp_path)
    assert code == 0, said
    assert {check["state"] for check in checks.values()} <= {"ok", "note"}
    assert checks["a small run"]["state"] == "ok"
    assert "torch" in checks["libraries"]["found"]
    assert "no CUDA device" in checks["GPU"]["found"]
    assert "HF_HUB_OFFLINE" in checks["network"]["found"]


def test_what_is_broken_is_named_with_its_remedy(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where a folder should be")
    lists = tmp_path / "data" / "cifar"
    lists.mkdir(parents=True)
    (lists / "train800val200.txt").write_text("images/train/0.png 0\n")
    code, checks, _ = doctor(tmp_path, HF_HUB_OFFLINE="0", HF_ENDPOINT="http://127.0.0.1:9")
    assert code == 1
    assert checks["results"]["state"] == "problem"
    assert "--results" in checks["results"]["found"]
    assert checks["data of vtab"]["state"] == "problem"
    assert "data check vtab" in checks["data of vtab"]["found"]
    assert checks["network"]["state"] == "note"
    assert "does not answer (Connection refused); take" in checks["network"]["found"]
    assert "NAME=FILE" in checks["network"]["found"]


def test_the_screen_is_a_report_to_paste(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    from bench.cli.doctor import Check, healthy, show

    checks = [Check("GPU", "note", "none"), Check("results", "problem", "cannot write [x]")]
    assert not healthy(checks)
    show(checks, Console(width=100))
    said = capsys.readouterr().out
    assert "cannot write [x]" in said
    assert "1 of 2 checks found a problem" in said
