"""End to end on the embedded suite: the real command line, in processes of its own where these are the point."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results.claims import holder_of
from tests.bench.called import called
from tests.tree import ROOT

SMALL = ["--methods", "linear,lora:rank=2", "--tasks", "digits,orientation", "--epochs", "1", "--device", "cpu"]


def call(*words: str, folder: Path, code: int = 0) -> str:
    """The output of one call, stripped of nothing; fails unless it ends with `code`."""
    done = called(*words, folder=folder)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "160", "OMP_NUM_THREADS": "1"}


def where(folder: Path) -> list[str]:
    return ["--results", str(folder / "results"), "--out", str(folder / "out")]


def records(folder: Path) -> dict[str, dict]:
    found = sorted((folder / "results" / "runs").rglob("*.json"))
    return {path.name: json.loads(path.read_text())["record"] for path in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    command = [sys.executable, str(ROOT / "bench.py"), *SMALL, *where(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_grid_trains_reports_and_then_has_nothing_to_do(finished: Path) -> None:
    kept = records(finished)
    assert len(kept) == 4
    assert all(0 < record["score"]["test_accuracy"] <= 1 for record in kept.values())
    assert all(record["cost"]["planned_peak_bytes"] > 0 for record in kept.values())
    again = call(*SMALL, *where(finished), folder=finished)
    assert "0 runs done now, 4 were there" in again
    assert records(finished) == kept
    for suffix in (".csv", ".md", ".tex", ".png", ".pdf", ".html"):
        assert list((finished / "out").rglob(f"*{suffix}")), suffix


def test_report_alone_makes_the_same_table(finished: Path) -> None:
    shown = call("report", "accuracy", *where(finished), folder=finished)
    assert "lora:rank=2" in shown
    assert "digits" in shown


def test_dry_run_says_what_is_there_and_trains_nothing(finished: Path) -> None:
    before = records(finished)
    shown = call(*SMALL, "--seeds", "0,1", "--dry-run", *where(finished), folder=finished)
    assert re.search(r"8, of which 4 are there and 4 are left", shown)
    assert "time" in shown
    assert records(finished) == before


def test_a_damaged_record_is_named_set_aside_and_done_again(finished: Path) -> None:
    before = records(finished)
    victim = next((finished / "results" / "runs").rglob("lora*.json"))
    victim.write_text(victim.read_text()[:100])
    shown = call(*SMALL, *where(finished), folder=finished)
    assert victim.name in shown.replace("\n", "")
    assert victim.with_name(victim.name + ".damaged").exists()
    accuracy = records(finished)[victim.name]["score"]["test_accuracy"]
    assert accuracy == before[victim.name]["score"]["test_accuracy"]


def test_weights_that_were_kept_predict_and_others_say_how_to_keep_them(finished: Path) -> None:
    record = str(next((finished / "results" / "runs").rglob("linear*.json")))
    image = str(next((finished / "out").rglob("tradeoff*.png")))
    shown = call("predict", record, image, folder=finished, code=2)
    again = shlex.split(shown.partition("make them with python bench.py ")[2].strip())
    said = call(*again, "--out", str(finished / "out"), folder=finished)
    assert "1 run is there but did not keep all of --keep weights" in said
    assert "1 run done now" in said
    answer = json.loads(call("predict", record, image, "--json", "--top", "3", folder=finished))
    guesses = answer["images"][image]
    assert [1 > guess["probability"] > 0 for guess in guesses] == [True] * 3
    assert 0 < sum(guess["probability"] for guess in guesses) <= 1
    some = " ".join(call("predict", record, "gone.png", image, "--top", "1", folder=finished, code=2).split())
    assert some.count("%") == 1
    assert "error: gone.png: cannot be read (No such file or directory)" in some


def test_a_killed_grid_resumes_to_the_same_scores(finished: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "bench.py"), *SMALL, *where(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment())
    while True:  # until it is stopped with a run in its hands: a moment later it may be between two
        at_work(process, tmp_path, finished=1)
        process.send_signal(signal.SIGSTOP)
        if process.pid in claimants(tmp_path):
            break
        process.send_signal(signal.SIGCONT)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 1 <= len(records(tmp_path)) < len(records(finished))
    assert claimants(tmp_path) == {process.pid}  # it died with a run in its hands
    call(*SMALL, *where(tmp_path), folder=tmp_path)
    assert scores(records(tmp_path)) == scores(records(finished))
    assert not [path for path in (tmp_path / "results").rglob("*.json") if path.stat().st_size == 0]


@pytest.mark.parametrize(("workers", "times", "epochs", "kept"), [(["--workers", "1"], 1, 2, 1), ([], 2, 1000, 0)])
def test_ctrl_c_once_finishes_what_is_running_and_twice_stops_now(
    workers: list[str], times: int, epochs: int, kept: int, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "bench.py"), *SMALL, "--epochs", str(epochs), *workers, *where(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    at_work(process, tmp_path)
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    out, err = process.communicate()
    assert process.returncode == 130
    assert "stopping when what is running now is finished" in out + err
    assert "the same call goes on from there" in out + err
    assert "Traceback" not in out + err
    assert len(records(tmp_path)) == kept
    assert (tmp_path / "out" / "index.html").is_file() == bool(kept)  # the table of what is there


def at_work(process: subprocess.Popen[str], folder: Path, finished: int = 0) -> None:
    """Wait until the process, or a worker of it, holds a run, and so many are finished."""
    dead = claimants(folder)
    runs = folder / "results" / "runs"
    while len(list(runs.rglob("*.json"))) < finished or not claimants(folder) - dead:
        assert process.poll() is None, "it ended before it could be disturbed"
        time.sleep(0.05)


def claimants(folder: Path) -> set[int]:
    """The processes that hold runs."""
    holders = (holder_of(path) for path in (folder / "results" / "claims").rglob("*.claim"))
    return {holder.pid for holder in holders if holder}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--methods", "loar"], "did you mean 'lora'"),
        (["--methods", "lora:rank=0"], "at least 1"),
        (["--methods", "vpt_deep:tokens=-1"], "at least 1"),
        (["--methods", "lora:layer=13"], "12 blocks"),
        (["--methods", "lora:rnk=4"], "did you mean 'rank'"),
        (["--tasks", "digit"], "did you mean 'digits'"),
        (["--suite", "dmeo"], "did you mean 'demo'"),
        (["--recipe", "demmo"], "did you mean 'demo'"),
        (["--backbone", "demo=/nowhere/file.npz"], "no such file"),
        (["--backbone", "vit_base_patch16_225"], "did you mean"),
        (["--backbone", "random:vit_bse_patch16_224"], "did you mean"),
        (["--epochs", "0"], "at least 1"),
        (["--seeds", "one"], "list of seeds"),
        (["--precision", "fp8"], "fp32"),
        (["--device", "cuda"], "--device cpu"),
        (["--log", "nosuch"], "error: --log: 'nosuch' is not one of 'off', 'tensorboard'"),
        (["predict", str(ROOT / "README.md"), "x.png"], "README.md: it is no JSON, or was cut short; give the .json"),
        (["report", "acuracy"], "did you mean 'accuracy'"),
        (["list", "lroa"], "did you mean 'lora'"),
        (["--preprocessing", "ptv"], "did you mean 'vpt'"),
        (["data", "check", "vtba"], "did you mean 'vtab'"),
        (["cost", "--planned", "--methods", "lroa"], "did you mean 'lora'"),
        (["--keep", "wieghts"], "did you mean 'weights'"),
        (["predict", "no.json", "no.png"], "below results/runs"),
        (["--results", "/dev/null/results"], "cannot write"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_exit_code_2(words: list[str], said: str, tmp_path: Path) -> None:
    if "cuda" in words and cuda():
        pytest.skip("there is a CUDA device here")
    shown = call(*words, folder=tmp_path, code=2)
    assert said in " ".join(shown.split())
    assert not list(tmp_path.iterdir())


def cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def scores(kept: dict[str, dict]) -> dict[str, dict]:
    return {name: record["score"] for name, record in kept.items()}
