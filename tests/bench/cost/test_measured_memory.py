"""What the allocator's numbers stand for: this run's training, not what others left, and not once for all a failure."""

import contextlib
from typing import Any

import pytest
import torch

import bench.cost.measure
import bench.runner.execute
from bench.cost.case import Case
from bench.cost.measure import Peaks, training_peaks
from bench.features.memory import InMemory
from bench.features.store import Key, Store
from bench.runner.record import Trace
from bench.settings import Execution
from bench.train.compile import Compiler
from methods.recipe import Recipe
from methods.spec import parse
from results import Cost
from tests.bench.tiny import run
from tests.methods.small import CLASSES, SMALL

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
CASE = Case(SMALL, parse("lora")[0], CLASSES, Recipe(batch_size=2))


def kept(store: Store, name: str) -> Any:
    key = Key(name, "weights", (), (), False, None)
    return store.kept(key, {"pooled": 4}, 8, lambda: [torch.zeros(8, 3)], lambda _: {"pooled": torch.zeros(8, 1)})


def test_what_is_kept_for_other_runs_is_told_apart() -> None:
    store = Store([InMemory("device", 1000, CPU)])
    first, second = kept(store, "first"), kept(store, "second")
    assert store.bytes_beside(first) == second.bytes == 32
    assert store.bytes_beside(None) == 64
    assert Store([InMemory("host", 1000, CPU)]).bytes_beside(None) == 0


def test_a_peak_is_without_what_is_kept_for_other_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    class Others:
        bytes_of_others = 300

    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1000)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 2000)
    trace = Trace(feed=Others())  # type: ignore[arg-type]
    bench.runner.execute._read_peaks(CUDA, trace)
    assert (trace.peak_bytes, trace.reserved_bytes) == (700, 2000)


def test_peaks_start_when_the_graphs_of_the_run_before_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())
    monkeypatch.setattr(bench.runner.execute, "_forget_peaks", lambda _: told.append("forget"))
    monkeypatch.setattr(Compiler, "compiled", lambda _, network: told.append("compile") or network)
    monkeypatch.setattr(bench.runner.execute, "train", lambda *_: told.append("train"))
    bench.runner.execute.execute(run("linear"), Execution(CPU))
    assert told[-3:] == ["compile", "forget", "train"]


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Of CUDA, as far as measuring asks it."""
    bench.cost.measure._peaks_beyond.cache_clear()
    state = {"allocated": 500, "workspaces": 0}
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: contextlib.nullcontext())
    monkeypatch.setattr(bench.cost.measure, "_step_of", lambda case, device: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: state["allocated"] + state["workspaces"])
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: state.update(workspaces=0))
    return state


def test_running_out_of_memory_once_is_not_remembered(
    allocator: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Peaks:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bench.cost.measure, "_train_peaks", full)
    assert training_peaks(CASE, CUDA) == Peaks()
    monkeypatch.setattr(bench.cost.measure, "_train_peaks", lambda *_: Peaks(800, 900, 0))
    assert training_peaks(CASE, CUDA) == Peaks(300)  # beyond the 500 that were held
    monkeypatch.setattr(bench.cost.measure, "_train_peaks", full)
    assert training_peaks(CASE, CUDA) == Peaks(300)  # what succeeded is


def test_workspaces_are_told_apart(allocator: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    allocator["workspaces"] = 64
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 800)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda device: 900)
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: {"num_alloc_retries": 3})
    assert bench.cost.measure._peaks(CUDA, 1) == Peaks(800, 900, 2, 64)
    assert allocator == {"allocated": 500, "workspaces": 0}


def test_a_run_out_of_memory_asks_for_no_peak_of_a_fresh_network(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr("bench.runner.record.training_peaks", lambda *given: asked.append(given) or Peaks())
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())
    how = Execution(CPU, cache_features="on")
    assert bench.runner.execute.execute(run("vqt"), how).status == "ok"
    assert len(asked) == 1

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bench.runner.execute, "train", full)
    assert bench.runner.execute.execute(run("vqt"), how).status == "oom"
    assert len(asked) == 1


def test_graphs_that_were_not_made_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = Compiler("graphs")
    counters = torch._dynamo.utils.counters
    counters["frames"].update(total=2, ok=2)
    assert compiler.word == "graphs"
    counters["inductor"]["cudagraph_skips"] += 1
    assert compiler.word == "graphs, in part"
    assert Compiler("graphs").word is None  # of another run
