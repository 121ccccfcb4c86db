"""What is measured: the allocator's numbers of this run's training alone, and steps that are timed."""

import contextlib
from typing import Any

import pytest
import torch

import bench.cost.measure
import bench.runner.execute
from bench.cost.case import Case
from bench.cost.cuda_rules import Rules
from bench.cost.measure import Peaks, Timing, measure, timed, training_peaks, training_step
from bench.cost.record import cost_of
from bench.features.memory import InMemory
from bench.features.store import Key, Store
from bench.runner.record import Trace
from bench.settings import RunSettings
from bench.train.compile import Compiler
from methods.recipe import Recipe
from methods.spec import parse
from results import Cost
from tests.bench.tiny import run
from tests.methods.small import CLASSES, SMALL, batch, learning, network_of

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
    trace = Trace(CUDA, feed=Others())  # type: ignore[arg-type]
    bench.runner.execute._read_peaks(trace)
    assert (trace.peak_bytes, trace.reserved_bytes) == (700, 2000)


def test_peaks_start_when_what_compiling_took_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())
    monkeypatch.setattr(bench.runner.execute, "_forget_peaks", lambda _: told.append("forget"))
    monkeypatch.setattr(Compiler, "compiled", lambda _, network: told.append("compile") or network)
    monkeypatch.setattr(bench.runner.execute, "train", lambda *_: told.append("train"))
    bench.runner.execute.execute(run("linear"), RunSettings(CPU))
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
    how = RunSettings(CPU, cache_features="on")
    assert bench.runner.execute.execute(run("vqt"), how).status == "ok"
    assert len(asked) == 1

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(bench.runner.execute, "train", full)
    assert bench.runner.execute.execute(run("vqt"), how).status == "oom"
    assert len(asked) == 1


def test_the_median_the_range_and_whether_it_is_stable() -> None:
    timing = Timing.of([1.0] * 5 + [1.01] * 5 + [9.0])  # one straggler counts neither for the median nor the range
    assert timing.median == 1.01
    assert not timing.unstable
    assert timing.rate(64) == pytest.approx(64 / 1.01)
    assert timing.rates(64) == [64 / timing.high, 64 / timing.low]
    assert Timing.of([1.0, 1.0, 1.0, 2.0, 2.0]).unstable


def test_warm_up_steps_are_not_timed() -> None:
    calls = []
    timed(lambda: calls.append(1), torch.device("cpu"), warmup=3, steps=4)
    assert len(calls) == 7


@pytest.mark.parametrize("gradients", ["freed_before", "freed_after", "zeroed"])
def test_a_step_trains(gradients: str) -> None:
    network = network_of("lora")
    before = [p.detach().clone() for p in learning(network)]
    step = training_step(network, *batch(), Recipe(), Rules(gradients=gradients))
    step()
    step()
    assert all(not torch.equal(*pair) for pair in zip(before, learning(network), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_measuring_leaves_the_random_numbers_alone(precision: str) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    case = Case(SMALL, parse("lora")[0], CLASSES, Recipe(batch_size=2, precision=precision))
    measured = measure(case, torch.device("cpu"), warmup=1, steps=3)
    assert measured.train_images_per_second > 0
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_plan_meets_the_allocator() -> None:
    case = Case(SMALL, parse("full")[0], CLASSES, Recipe(batch_size=256))
    figures = cost_of(case, torch.device("cuda")).figures
    own = figures.peak_bytes - figures.workspace_bytes  # of cuBLAS: 32 MiB and more on Hopper, which no plan has
    assert own == pytest.approx(figures.planned_peak_bytes, rel=0.1)
