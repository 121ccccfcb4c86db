"""HOW: runs, trains, measures, launches. The names below are for one's own code (docs/python.md), the rest for ours."""

import importlib
import os
from typing import TYPE_CHECKING, Any

# Threads that wait for others sleep, unless the user says otherwise: spinning, two processes on the same cores slow
# each other down thirtyfold. OpenMP reads it when torch is imported, so it must stand before that.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if TYPE_CHECKING:
    from bench.cost.plan import MemoryPlan, plan_memory
    from bench.grid.request import Request, runs_of
    from bench.runner.execute import execute
    from bench.settings import RunSettings

__all__ = ["MemoryPlan", "Request", "RunSettings", "execute", "plan_memory", "runs_of"]

HOMES = {  # imported when they are asked for, so that --help loads no torch
    "MemoryPlan": "bench.cost.plan",
    "plan_memory": "bench.cost.plan",
    "Request": "bench.grid.request",
    "runs_of": "bench.grid.request",
    "execute": "bench.runner.execute",
    "RunSettings": "bench.settings",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'bench' has no attribute {name!r}")
    return getattr(importlib.import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
