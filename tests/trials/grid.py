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
from bench.grid.workers import Workers
from bench.run import record_of
from bench.settings import RunSettings
from results.claims import Claims
from tests.trials.act import METHODS, asked, planned

CPU = RunSettings(torch.device("cpu"), patience_seconds=12)
LEASE = 4.0  # seconds, in place of two minutes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--fault", default="", help="what goes wrong in every first try of seed 0")
    parser.add_argument("--seconds", type=float, default=0.0, help="that every run takes at least")
    options = parser.parse_args()
    grid = list(asked(options.seeds, options.epochs, options.methods).values())
    pending = look(grid, options.root, CPU)
    words = {key: getattr(options, key) for key in ("seeds", "epochs", "methods", "fault", "seconds")}
    plan = functools.partial(planned, options.root, [record_of(run) for run in pending.left], **words)
    workers = Workers(plan, [CPU] * options.workers, 1)
    bench.grid.grid.Claims = functools.partial(Claims, LEASE, LEASE / 3)  # type: ignore[assignment,misc]
    started = time.perf_counter()
    console = Console(width=200)
    outcome = run_grid(pending, options.root, CPU, console, workers)
    if outcome.stopped:
        sys.exit(130)
    counts = {"done": outcome.done, "there": outcome.there, "failed": len(outcome.failed)}
    console.file.write(json.dumps({**counts, "seconds": time.perf_counter() - started}) + "\n")
    sys.exit(bool(outcome.failed))


if __name__ == "__main__":
    main()
