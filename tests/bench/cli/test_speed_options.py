"""What a user says about caches and compilation becomes how runs are carried out, and is in the record."""

from typing import Any

import pytest
import torch

import bench.train.compile
from bench.cli.grid import cache_limits
from bench.errors import UsageError
from bench.runner.execute import execute
from bench.settings import CacheLimits, RunSettings
from results import Cost
from tests.bench.tiny import run

CPU = torch.device("cpu")


def test_amounts_are_for_the_device_the_host_and_the_disk() -> None:
    assert cache_limits(None) == CacheLimits()
    assert cache_limits("1GiB") == CacheLimits(device=2**30)
    assert cache_limits("1GiB,2GB, 3MiB") == CacheLimits(2**30, 2 * 10**9, 3 * 2**20)


@pytest.mark.parametrize("text", ["8", "1GiB,", "1GiB,2GiB,3GiB,4GiB"])
def test_wrong_amounts_are_wrong_calls(text: str) -> None:
    with pytest.raises(UsageError, match="--feature-limit"):
        cache_limits(text)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")
def test_every_run_of_a_process_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process compiles but so many versions of a function, and all methods share theirs."""
    monkeypatch.setattr("bench.runner.execute.planned_cost", lambda *_: Cost())
    monkeypatch.setitem(bench.train.compile.OPTIONS, "backend", "eager")
    how = RunSettings(CPU, cache_features="off", compile="kernels")
    with torch._dynamo.config.patch(recompile_limit=2):
        assert [execute(run("linear", seed), how).speedups.compiled for seed in range(2)] == ["kernels"] * 2
    with torch._dynamo.config.patch(recompile_limit=1):
        assert execute(run("linear"), how).speedups.compiled == "kernels, in part"
    with torch._dynamo.config.patch(disable=True):
        assert execute(run("linear"), how).speedups.compiled is None


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # of the compiler's own, by what it traces
@pytest.mark.parametrize(("spec", "cache"), [("lora", "off"), ("head2toe", "auto")])
def test_compiled_steps_are_recorded_and_train(monkeypatch: pytest.MonkeyPatch, spec: str, cache: Any) -> None:
    """Traced, but run by PyTorch itself, since making kernels takes a minute."""
    calls: list[Any] = []
    trace = torch.compile
    monkeypatch.setattr("bench.runner.execute.planned_cost", lambda *_: Cost())
    monkeypatch.setattr(torch, "compile", lambda *given, **how: calls.append(how) or trace(*given, **how))
    monkeypatch.setitem(bench.train.compile.OPTIONS, "backend", "eager")
    plain, compiled = (
        execute(run(spec), RunSettings(CPU, cache_features=cache, compile=how)) for how in ("off", "kernels")
    )
    assert (plain.speedups.compiled, compiled.speedups.compiled) == (None, "kernels")
    assert calls
    assert compiled.score.train_losses == pytest.approx(plain.score.train_losses, rel=1e-4)
