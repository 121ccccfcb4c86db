"""Worker processes: every run is done once, and one that dies, hangs or runs out of memory ends no grid."""

import dataclasses
import functools
import io
import multiprocessing
import re
from pathlib import Path

import pytest
import torch
from rich.console import Console

import results
from bench.errors import UsageError
from bench.features.store import store_of
from bench.grid.estimate import longest_first
from bench.grid.grid import Outcome, look, run_grid
from bench.grid.request import Request, plan_of, runs_of
from bench.grid.workers import Workers, _Voice, count_of, work, workers_of
from bench.machine import cores
from bench.run import Run, record_of
from bench.runner.attempt import Call, Event, Tries, log_path
from bench.settings import CacheLimits, RunSettings
from bench.train.loop import Epoch
from tests.bench.faulty import planned
from tests.bench.tiny import run, runs

CPU = RunSettings(torch.device("cpu"))


def go(asked: list[Run], root: Path) -> tuple[Outcome, str]:
    console = Console(file=io.StringIO(), width=200)
    settings = dataclasses.replace(CPU, patience_seconds=8)
    workers = Workers(functools.partial(planned, root, list(map(record_of, asked))), [settings] * 2, 1)
    outcome = run_grid(look(asked, root, CPU), root, CPU, console, workers)
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
        ("vqt", "tried once more: the worker hung \\(nothing was heard for 0:00:08\\)"),
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
    run_grid(look(asked, tmp_path, CPU), tmp_path, CPU, Console(file=io.StringIO()))
    assert results.load(path(root, "linear")).score == results.load(path(tmp_path, "linear")).score


@pytest.mark.parametrize(
    ("epochs", "test", "seconds"), [([], 10, 100), ([0.001], 10, 100), ([40.0, 2.0], 12, 800), ([3.0], 1200, 6000)]
)
def test_patience_grows_with_what_an_epoch_and_a_test_take(
    epochs: list[float], test: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cached features make epochs quick; the test decodes images and runs the whole network all the same."""
    armed: list[float] = []
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda seconds, exit: armed.append(seconds))
    asked = run()
    asked = dataclasses.replace(asked, task=dataclasses.replace(asked.task, sizes={"train": 12, "test": test}))
    parent, child = multiprocessing.Pipe()
    voice = _Voice(child, 100, [asked])
    for number, taken in enumerate(epochs):
        voice.tell(0, Epoch(number + 1, 0.0, 0.0, taken))
    voice.watch(0)
    assert armed[-1] == seconds
    assert parent.poll() == bool(epochs)


def test_the_longest_run_is_first() -> None:
    asked = [*runs("linear,lora"), *runs("lora", epochs=50), *runs("full")]
    order = [f"{run.method} {run.recipe.epochs}" for run in longest_first(asked)]
    assert order[0] == "lora 50"
    assert order[-1] == "linear 2"
    assert len(order) == 4


def test_a_worker_stays_with_tasks_whose_images_it_has(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked, order = runs_of(Request(methods="linear,bitfit", tasks="digits,cells")), list[str]()
    by_method = sorted(asked, key=lambda run: run.method.name, reverse=True)

    def attempted(run: Run, *_: object) -> Event:
        order.append(f"{run.method.name} {run.task.name}")
        return Event("there" if order == ["linear digits"] else "done")

    monkeypatch.setattr("bench.grid.workers.attempt", attempted)
    call = Call(tmp_path, CPU, Tries(tmp_path, tmp_path))
    work(by_method, call, lambda *_: None, lambda: False)
    assert order == ["linear digits", "linear cells", "bitfit cells", "bitfit digits"]
    work(by_method, dataclasses.replace(call, start=0.5), lambda *_: None, lambda: False)
    assert order[4:] == ["linear cells", "linear digits", "bitfit cells", "bitfit digits"]


def test_the_number_of_workers() -> None:
    cpu = torch.device("cpu")
    assert (count_of(cpu, None), count_of(cpu, 3)) == (1, 3)
    with pytest.raises(UsageError, match="at least 1"):
        count_of(cpu, 0)


def test_workers_share_the_machine() -> None:
    asked = Request(methods="linear", tasks="digits")
    plan = plan_of(asked, runs_of(asked))
    assert workers_of(plan, CPU, None) is None
    workers = workers_of(plan, CPU, 2)
    assert workers is not None
    assert workers.plan() == runs_of(asked)
    for settings in workers.settings:
        assert settings.cache_limits.processes == 2
        assert settings.loader.workers == max(1, cores() // 2)
    whole, half = (store_of(CPU.device, CacheLimits(processes=count), None).tiers[0] for count in (1, 2))
    assert half.limit == whole.limit // 2


def test_a_worker_that_cannot_start_ends_no_grid_in_silence(tmp_path: Path) -> None:
    asked = runs("linear")
    console = Console(file=io.StringIO(), width=200)
    workers = Workers(functools.partial(planned, tmp_path, ["gone"]), [CPU], 1)
    outcome = run_grid(look(asked, tmp_path, CPU), tmp_path, CPU, console, workers)
    assert (outcome.done, len(outcome.failed)) == (0, 1)
    assert "a worker cannot start: KeyError: 'gone'" in console.file.getvalue()
