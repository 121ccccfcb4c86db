"""`bench.py tune` chooses on validation images alone, and a search that is killed goes on where it stopped."""

import os
import random
import signal
import subprocess
import sys
import time
import tomllib
import warnings
from collections import defaultdict
from pathlib import Path
from statistics import fmean

import optuna
import pytest
from PIL import Image
from typer.testing import CliRunner

import datasets
from bench.cli.app import app
from bench.grid.request import Request, runs_of
from bench.run import record_of
from bench.tune.pruning import EarlyStop, storage_of
from datasets.base import Example
from methods.recipe import resolve
from methods.spec import parse
from results import load
from tests.bench.called import Done
from tests.bench.called import called as call
from tests.tree import ROOT

GRID = "learning_rate=1e-3/1e-2/1e-1,weight_decay=0/1e-3"
CALL = "tune", "--methods", "linear", "--tasks", "digits", "--epochs", "1", "--space", GRID


def command(root: Path, *words: str) -> list[str]:
    return [sys.executable, str(ROOT / "bench.py"), *words, "--results", str(root), "--device", "cpu"]


def called(root: Path, *words: str) -> Done:
    return call(*words, "--results", str(root), "--device", "cpu")


def study_of(root: Path, name: str = "demo") -> dict[str, tuple[str, float | None]]:
    """State and value of each trial by its values."""
    storage = storage_of(root / "tuned" / f"{name}.log")
    (summary,) = optuna.get_all_study_summaries(storage)
    study = optuna.load_study(study_name=summary.study_name, storage=storage)
    return {str(sorted(trial.params.items())): (trial.state.name, trial.value) for trial in study.trials}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search that nothing disturbed."""
    root = tmp_path_factory.mktemp("whole")
    done = called(root, *CALL, "--then-test", "--out", str(root / "out"))
    assert done.returncode == 0, done.stderr
    assert "linear: 6 trials a task by grid" in done.stdout
    return root


def test_every_point_of_a_grid_is_tried_and_the_best_is_written(whole: Path) -> None:
    study = study_of(whole)
    assert len(study) == 6
    assert {state for state, _ in study.values()} == {"COMPLETE"}
    recipe = tomllib.loads((whole / "tuned" / "demo.toml").read_text())
    row = recipe["linear"]["tasks"]["digits"]
    best = max(study, key=lambda key: study[key][1] or 0.0)
    assert f"('learning_rate', {row.get('learning_rate', 1e-3)!r})" in best
    assert recipe["chosen"]


def test_the_choice_is_tested_once_on_test_images(whole: Path) -> None:
    texts = [path.read_text() for path in (whole / "runs").rglob("*.json")]
    (tested,) = [text for text in texts if '"recipe": "tuned:demo"' in text]
    assert '"test_images": 1000' in tested
    trials = [text for text in texts if text is not tested]
    assert len(trials) == 6
    assert all('"split": "val"' in text for text in trials)


def test_a_recipe_is_for_the_tasks_that_were_tuned(whole: Path) -> None:
    words = "--methods", "linear", "--recipe", "tuned:demo", "--out", str(whole / "out2")
    done = CliRunner().invoke(app, [*words, "--tasks", "count", "--results", str(whole), "--device", "cpu"])
    assert done.exit_code == 2
    assert "tuned:demo was tuned for linear on digits, not on count" in done.stderr
    done = CliRunner().invoke(app, ["--methods", "lora", *words[2:], "--results", str(whole), "--device", "cpu"])
    assert done.exit_code == 2
    assert "tuned:demo was tuned for linear, not for lora; tune it first" in " ".join(done.stderr.split())
    again = called(whole, *words, "--tasks", "digits")
    assert "0 runs done now, 1 were there" in again.stdout


def test_a_recipe_keeps_what_earlier_calls_of_its_name_chose(whole: Path) -> None:
    """The trials on digits are there."""
    for words in (("--tasks", "digits"), ("--tasks", "count", "--space", "weight_decay=1e-3/1")):
        where = "--name", "kept", "--results", str(whole), "--device", "cpu"
        assert CliRunner().invoke(app, [*CALL, *words, *where]).exit_code == 0
    alone, both = (tomllib.loads((whole / "tuned" / f"{name}.toml").read_text()) for name in ("demo", "kept"))
    assert both["linear"]["tasks"].keys() == {"digits", "count"}
    assert both["about"].startswith("Chosen on validation images, last by ")
    assert both["linear"]["tasks"]["digits"] == alone["linear"]["tasks"]["digits"]


def test_one_choice_for_a_suite_has_the_best_mean_and_holds_for_all_its_tasks(whole: Path) -> None:
    words = "--name", "suite", "--choose", "suite", "--tasks", "digits,count", "--results", str(whole)
    space = "learning_rate=1e-3/1e-2,weight_decay=0"
    done = CliRunner().invoke(app, [*CALL[:3], "--epochs", "1", "--space", space, *words, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "linear: 2 trials of 2 tasks together by grid" in done.output
    means = defaultdict[float, list[float]](list)
    for record in map(load, (whole / "runs").rglob("*.json")):
        rate, decay = record.recipe["learning_rate"], record.recipe["weight_decay"]
        if record.identity.changes.get("split") == "val" and rate < 0.1 and decay == 0:
            means[rate].append(record.score.test_accuracy or 0)
    assert {len(accuracies) for accuracies in means.values()} == {2}
    assert {value for _, value in study_of(whole, "suite").values()} == {fmean(pair) for pair in means.values()}
    recipe, _ = resolve(str(whole / "tuned" / "suite.toml"), parse("linear")[0], "photos", {})
    assert fmean(means[recipe.learning_rate]) == max(map(fmean, means.values()))
    assert recipe.epochs == 1


def test_a_search_that_is_killed_ends_as_if_it_was_not(whole: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(command(tmp_path, *CALL, "--workers", "2"), cwd=ROOT, start_new_session=True)
    until = time.monotonic() + 240
    while len(list((tmp_path / "runs").rglob("*.json"))) < 2 and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert process.poll() is None, "it ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list((tmp_path / "runs").rglob("*.json"))) < 6
    done = called(tmp_path, *CALL)
    assert done.returncode == 0, done.stderr
    assert study_of(tmp_path) == study_of(whole)


def test_a_trial_below_the_median_ends_early_and_leaves_no_record(tmp_path: Path) -> None:
    words = "--space", "learning_rate=1e-6..1e-1", "--sampler", "random", "--results", str(tmp_path), "--device", "cpu"
    done = CliRunner().invoke(app, [*CALL[:5], "--epochs", "2", "--set", "warmup_epochs=0", "--trials", "7", *words])
    assert done.exit_code == 0, done.output
    study = study_of(tmp_path)
    assert len(study) == 7  # no values twice
    pruned = [value for state, value in study.values() if state == "PRUNED"]
    assert pruned
    assert done.output.count("below the median of the trials before it") == len(pruned)
    best = max(value or 0 for state, value in study.values() if state == "COMPLETE")
    assert max(value or 0 for value in pruned) < best
    records = [load(path) for path in (tmp_path / "runs").rglob("*.json")]
    assert len(records) == 7 - len(pruned)
    assert max(record.score.test_accuracy or 0 for record in records) == best
    assert "evaluate_every" not in (tmp_path / "tuned" / "demo.toml").read_text()


def test_a_killed_process_may_have_reported_an_epoch_already(tmp_path: Path) -> None:
    """The trial is begun again, and what was reported is not reported twice; then it is over for all processes."""
    storage = storage_of(tmp_path / "search.log")
    study = optuna.create_study(storage=storage, study_name="linear on digits", direction="maximize")
    for number in range(6):
        trial = study.ask()
        trial.report(0.5 if number < 5 else 0.1, 1)
        if number < 5:
            study.tell(trial, 0.5)
    (run,) = runs_of(Request("linear", tasks="digits", epochs=2, set=("warmup_epochs=0",)))
    stop = EarlyStop(tmp_path / "search.log", {record_of(run): (("linear on digits", 5),)})
    assert not stop.was_ended(run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stop.ends(run, 1, 0.1)
    assert stop.was_ended(run)
    assert study.trials[5].state.name == "PRUNED"


def test_test_images_have_no_say(whole: Path, tmp_path: Path) -> None:
    """With random pixels in every test image, the same is chosen."""
    task = next(task for task in datasets.SUITES["demo"].tasks if task.name == "digits")
    clean, asked = task.source, set[str]()

    def source(split: str) -> list[Example]:
        asked.add(split)
        drawn, examples = random.Random(0), list(clean(split))
        if split != "test":
            return examples
        return [(Image.frombytes("RGB", image.size, drawn.randbytes(3 * 32 * 32)), label) for image, label in examples]

    object.__setattr__(task, "source", source)  # it is frozen
    try:
        done = called(tmp_path, *CALL)
    finally:
        object.__setattr__(task, "source", clean)
    assert done.returncode == 0, done.stderr
    assert "train" in asked
    chosen = [tomllib.loads((root / "tuned" / "demo.toml").read_text())["linear"] for root in (whole, tmp_path)]
    assert chosen[0] == chosen[1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--trials", "0"), "--trials 0 chooses nothing; give at least 1"),
        (("--space", "rate=1/2"), "--space: 'rate' is neither a recipe field nor a setting of linear"),
        (("--space", "learning_rate=1e-2..1e-3"), "is an empty range; the second number must be larger"),
        (("--space", "learning_rate=1e-3"), "the space of linear has one point, so there is nothing to choose"),
        (("--space", "learning_rate=1e-3/1,learning_rate=1e-2"), "--space gives learning_rate twice"),
        (("--space", "=1/2"), "'=1/2' is not of the form setting=values"),
        (("--methods", "linear,lora", "--space", "rank=4/8"), "--space has nothing to choose for linear"),
        (("--methods", "lora:rank=4", "--space", "rank=4/8"), "--space has nothing to choose for lora:rank=4"),
        (("--set", "weight_decay=0/1"), "--set weight_decay=0/1 gives several values, which are for --space to name"),
        (("--space", "unknown"), "no space 'unknown'; known: default"),
        (("--space", "learning_rate=1e-3..1e-1", "--sampler", "grid"), "--sampler grid needs choices"),
        (("--space", "learning_rate=1e-3/1e-2"), "was begun with the space"),
        (("--launcher", "slurm"), "tune has no --launcher slurm; submit the call itself, as often as you like"),
        (("--name", "a/b"), "--name 'a/b' is no file name"),
        (("--recipe", "tuned:other"), "no recipe 'tuned:other'"),
    ],
)
def test_bad_calls_are_one_sentence(whole: Path, words: tuple[str, ...], sentence: str) -> None:
    done = CliRunner().invoke(app, [*CALL, *words, "--results", str(whole), "--device", "cpu"])
    assert done.exit_code == 2, done.output
    said = " ".join(done.stderr.split())
    assert said.startswith("error: ")
    assert sentence in said
    assert "Traceback" not in said
