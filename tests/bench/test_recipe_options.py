"""Any field of a recipe from the command line, one value or a sweep, and recipes in files of one's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import datasets
from bench.errors import UsageError
from bench.grid.request import Request, grid_of
from bench.run import Run
from bench.runner.execute import execute
from bench.settings import RunSettings
from results import path_of
from tests.bench.tiny import SUITE, run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(datasets.SUITES, "tiny", SUITE)


def grid(*settings: str, recipe: str | None = None, **words: object) -> list[Run]:
    return grid_of(Request("linear", "tiny", "colours", recipe=recipe, set=settings, **words).absolute())


def test_any_field_is_set_and_sweeps() -> None:
    runs = grid("learning_rate=1e-4/1e-3", "max_grad_norm=1,optimizer=sgd/adam")
    found = [(r.recipe.learning_rate, r.recipe.max_grad_norm, r.recipe.optimizer) for r in runs]
    assert found == [(rate, 1.0, name) for rate in (1e-4, 1e-3) for name in ("sgd", "adam")]
    assert len({str(path_of(Path(), run.identity())) for run in runs}) == 4
    assert grid("lr_batch_size=none")[0].recipe.lr_batch_size is None
    assert grid("epochs=3", epochs=None)[0].recipe.epochs == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "learning_rat=1",
            "--set: no recipe field 'learning_rat'; did you mean 'learning_rate'\\? known: activations, attention, ",
        ),
        ("final_rate=0", "--set: no recipe field 'final_rate'; it is called min_lr now"),
        ("learning_rate", "--set: 'learning_rate' is not of the form field=value"),
        ("learning_rate=fast", "--set: learning_rate='fast' is not a number of at least"),
        ("optimizer=lion", "--set: optimizer='lion' is not one of adamw, adam, sgd"),
        ("drop_path=2", "--set: drop_path='2' is not a number from 0 to 1"),
        ("epochs=1,epochs=2", "--set gives epochs twice; write epochs=A/B"),
        ("batch_size=4", "--set gives batch_size, and so does --batch-size; leave one out"),
        ("preprocessing=ptv", "no preprocessing 'ptv'; did you mean 'vpt'"),
    ],
)
def test_what_is_no_setting_is_a_sentence(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        grid(words, batch_size=4)


def test_a_recipe_is_a_file_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('about = "mine"\nepochs = 2\nmax_grad_norm = 0.5\n[linear]\nbatch_size = 4\n')
    monkeypatch.chdir(tmp_path)
    (one,) = grid(recipe="mine.toml")
    assert (one.recipe.epochs, one.recipe.batch_size, one.recipe.max_grad_norm) == (2, 4, 0.5)
    assert one.identity().recipe == "mine"
    (tmp_path / "odd.toml").write_text("epoch = 2\n")
    with pytest.raises(UsageError, match="'epoch' is neither a recipe field nor a setting; did you mean 'epochs'"):
        grid(recipe="odd.toml")
    with pytest.raises(UsageError, match=r"recipe .*gone.toml cannot be read: No such file"):
        grid(recipe="gone.toml")


def test_gradients_are_scaled_down_to_the_norm() -> None:
    device = RunSettings(torch.device("cpu"), cache_features="off")
    free, loose, tight = (
        execute(run("linear", optimizer="sgd", **words), device).score.train_losses
        for words in ({}, {"max_grad_norm": 1e6}, {"max_grad_norm": 1e-6})
    )
    assert free == loose
    assert tight != free


def test_the_version_and_a_python_without_the_libraries(tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=dict(os.environ), cwd=ROOT)

    assert call("bench.py", "--version").stdout.startswith("petl-bench 0.")
    bare = call("-E", "-s", "-S", "bench.py", "--help")  # without site-packages
    assert bare.returncode == 1
    assert bare.stderr.strip().startswith("error: the libraries are not in this Python; call .venv/bin/python bench.py")
