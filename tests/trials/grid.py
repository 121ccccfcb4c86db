"""A grid of short runs as a program of its own, for trials that kill it: `python -m tests.trials.grid ROOT`.

It prints what the grid printed and then one line of JSON: done, there, failed, seconds.
"""

import argparse
import functools
import json
import sys
import time
from pathlib import Path

import torch
from rich.console import Console

import bench.grid.grid
from bench.grid.grid import look, run_grid
from bench.grid.patience import Patience
from bench.grid.progress import Screen
from bench.grid.sent import record_of
from bench.grid.workers import Workers
from bench.run import Run
from bench.settings import Execution
from results.claims import Lookout
from tests.bench.tiny import runs
from tests.trials.act import act

CPU = Execution(torch.device("cpu"))
METHODS = "linear,lora,bitfit,partial"


def asked(seeds: int, epochs: int, methods: str = METHODS) -> dict[str, Run]:
    """Two tasks, so many seeds; each by the path of its record."""
    grid = runs(methods, tasks=2, seeds=tuple(range(seeds)), epochs=epochs)
    return {record_of(run): run for run in grid}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--fault", default="", help="what goes wrong in every first try of seed 0")
    parser.add_argument("--seconds", type=float, default=0.0, help="that every run takes at least")
    parser.add_argument("--lease", type=float, default=4.0)
    options = parser.parse_args()
    bench.grid.grid.Lookout = functools.partial(Lookout, lease_seconds=options.lease)  # type: ignore[misc]
    grid = list(asked(options.seeds, options.epochs, options.methods).values())
    words = json.dumps({key: getattr(options, key) for key in ("seeds", "epochs", "methods", "fault", "seconds")})
    crew = Workers(options.root, [CPU] * options.workers, 1, words, Patience(seconds=12), act)
    started = time.perf_counter()
    console = Console(width=200)
    try:
        with Screen(grid, console, options.workers) as screen:
            outcome = run_grid(look(grid, options.root, False), options.root, CPU, screen, crew)
    except KeyboardInterrupt:
        sys.exit(130)
    counts = {"done": outcome.done, "there": outcome.there, "failed": len(outcome.failed)}
    console.file.write(json.dumps({**counts, "seconds": time.perf_counter() - started}) + "\n")
    sys.exit(bool(outcome.failed))


if __name__ == "__main__":
    main()
