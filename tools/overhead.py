"""What the bench costs: one run through `execute` against a bare PyTorch loop over the same network, data and steps.

`python -m tools.overhead` alternates the two in one process and prints the ratio; start-up is in neither.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch
from rich.console import Console
from torch.nn import functional

from bench.data.batches import Normaliser, on_device
from bench.errors import UsageError
from bench.grid.request import Request, device_of, grid_of
from bench.run import Run
from bench.runner.execute import execute
from bench.settings import RunSettings
from bench.train.network import build

__all__ = ["bare_seconds", "bench_seconds"]


def bench_seconds(run: Run, device: torch.device) -> float:
    """Seconds of a whole run through the project: planning, loading, training, testing, counting."""
    started = time.perf_counter()
    execute(run, RunSettings(device))
    return time.perf_counter() - started


def bare_seconds(run: Run, device: torch.device) -> float:
    """Seconds of the loop that a user would write by hand for the same number of steps and test images."""
    torch.manual_seed(run.seed)
    network = build(run.backbone, run.resolved, run.task.classes, run.recipe).to(device)
    preset, size = run.preset, run.backbone.image_size
    train, test = on_device(run.task.load("train", preset, size), device), run.task.load("test", preset, size)
    normalise = Normaliser.of(*run.backbone.statistics, device)
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], fused=True)
    started = time.perf_counter()
    network.train()
    for _ in range(run.recipe.epochs):
        for chosen in torch.randperm(len(train.labels)).split(run.recipe.batch_size):
            loss = functional.cross_entropy(network(normalise(train.images[chosen])), train.labels[chosen])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    network.eval()
    with torch.inference_mode():
        for images in test.images.split(256):
            network(normalise(images.to(device))).argmax(dim=1).cpu()  # whose end is waited for, as the bench does
    return time.perf_counter() - started


def main() -> None:
    """Print both times and their ratio; exit code 1 when the ratio is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="lora", help="a method's spec")
    parser.add_argument("--epochs", type=int, default=60, help="about a minute on two cores")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--bar", type=float, default=1.05, help="the highest ratio that passes")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    options = parser.parse_args()
    try:
        device = device_of(options.device)
    except UsageError as error:
        sys.exit(f"error: {error}")
    run = grid_of(Request(methods=options.method, tasks="digits", epochs=options.epochs))[0]
    execute(grid_of(Request(methods=options.method, tasks="digits", epochs=1))[0], RunSettings(device))  # warm-up
    pairs = [(bench_seconds(run, device), bare_seconds(run, device)) for _ in range(options.repeats)]
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    for ours, bare in pairs:
        Console().print(f"bench {ours:.1f} s, bare loop {bare:.1f} s, ratio {ours / bare:.3f}")
    Console().print(f"median ratio {ratio:.3f}, bar {options.bar}")
    sys.exit(ratio > options.bar)


if __name__ == "__main__":
    main()
