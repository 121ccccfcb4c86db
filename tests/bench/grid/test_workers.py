"""Worker processes: every run is done once, and one that dies, hangs or runs out of memory ends no grid."""

import dataclasses
import io
import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

import results
from bench.errors import WrongCall
from bench.features.store import store_of
from bench.grid.grid import Outcome, look, run_grid
from bench.grid.launch import crew_of, workers_of
from bench.grid.longest import longest_first
from bench.grid.patience import Patience, Silence
from bench.grid.progress import Screen
from bench.grid.request import Request
from bench.grid.workers import Workers
from bench.machine import cores
from bench.run import Run
from bench.runner.attempt import log_path
from bench.settings import CacheLimits, Execution
from tests.bench.faulty import act
from tests.bench.tiny import run, runs

CPU = Execution(torch.device("cpu"))


def go(asked: list[Run], root: Path) -> tuple[Outcome, str]:
    console = Console(file=io.StringIO(), width=200)
    crew = Workers(root, [CPU, CPU], 1, "", Patience(seconds=8), act)
    with Screen(asked, console, 2) as screen:
        outcome = run_grid(look(asked, root, False), root, CPU, screen, crew)
    return outcome, console.file.getvalue()


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome, str]:
    """A grid in which a worker is killed, one crashes twice, one has no memory and one hangs."""
    root = tmp_path_factory.mktemp("results")
    return root, *go(runs("linear,lora,bitfit,partial,vqt", seeds=(1,)), root)


def path(root: Path, method: str) -> Path:
    return results.path_of(root, run(method, seed=1).identity())


def test_the_grid_goes_on(survived: tuple[Path, Outcome, str]) -> None:
    root, outcome, _ = survived
    assert outcome.done == 4
    assert [results.load(path(root, name)).status for name in ("linear", "lora", "partial", "vqt")] == ["ok"] * 4
    assert not path(root, "bitfit").exists()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("lora", "tried once more: the worker died \\(SIGKILL; out of memory, or somebody killed it\\)"),
        ("bitfit", "failed: the worker died \\(SIGSEGV\\).*\\(twice\\)"),
        ("partial", "tried once more: out of memory on the CPU; use fewer workers"),
        ("vqt", "tried once more: the worker hung \\(nothing was heard for 8 s\\)"),
    ],
)
def test_what_went_wrong_is_a_sentence(survived: tuple[Path, Outcome, str], method: str, said: str) -> None:
    assert re.search(f"{method} (is )?{said}", survived[2])


def test_the_log_of_a_crash_says_where_it_was(survived: tuple[Path, Outcome, str]) -> None:
    _, outcome, _ = survived
    (log,) = outcome.failed
    assert "Fatal Python error: Segmentation fault" in log.read_text()
    assert "faulty.py" in log.read_text()


def test_the_log_of_a_hung_worker_says_where_it_was(survived: tuple[Path, Outcome, str]) -> None:
    root, _, _ = survived
    log = log_path(root, run("vqt", seed=1)).read_text()
    assert "hung" in log.splitlines()[0]
    assert "faulty.py" in log


def test_workers_give_what_one_process_gives(survived: tuple[Path, Outcome, str], tmp_path: Path) -> None:
    root, _, _ = survived
    asked = runs("linear", seeds=(1,))
    with Screen(asked, Console(file=io.StringIO())) as screen:
        run_grid(look(asked, tmp_path, False), tmp_path, CPU, screen)
    assert results.load(path(root, "linear")).score == results.load(path(tmp_path, "linear")).score


def test_patience_grows_with_what_an_epoch_takes() -> None:
    silence = Silence(run(), Patience(seconds=100, factor=5))
    assert silence.limit() == 100
    silence.broken(0.001)  # from cached features; the test decodes images and runs the whole network all the same
    assert silence.limit() == 100
    silence.broken(40.0)
    silence.broken(2.0)
    assert silence.limit() == 200
    assert not silence.over()
    silence.since -= 201
    assert silence.over()


def test_patience_waits_for_a_test_that_is_longer_than_an_epoch() -> None:
    asked = run()
    task = dataclasses.replace(asked.task, sizes={"train": 10, "test": 1000})
    silence = Silence(dataclasses.replace(asked, task=task), Patience(seconds=1, factor=2))
    silence.broken(3.0)
    assert silence.limit() == 600


def test_the_longest_run_is_first() -> None:
    asked = [*runs("linear,lora"), *runs("lora", epochs=50), *runs("full")]
    order = [f"{run.method} {run.recipe.epochs}" for run in longest_first(asked)]
    assert order[0] == "lora 50"
    assert order[-1] == "linear 2"
    assert len(order) == 4


def test_the_number_of_workers() -> None:
    cpu = torch.device("cpu")
    assert (workers_of(cpu, None), workers_of(cpu, 3)) == (1, 3)
    with pytest.raises(WrongCall, match="at least 1"):
        workers_of(cpu, 0)


def test_workers_share_the_machine(tmp_path: Path) -> None:
    crew = crew_of(Request(methods="linear"), tmp_path, CPU, 2)
    assert isinstance(crew, Workers)
    for how in crew._hows:
        assert how.cache_limits.processes == 2
        assert how.reading.workers == max(1, cores() // 2)
    crew.close()
    whole, half = (store_of(CPU.device, CacheLimits(processes=count), None).places[0] for count in (1, 2))
    assert half.shelf.limit == whole.shelf.limit // 2
