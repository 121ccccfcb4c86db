"""Times one step of a run on random images: enough to tell minutes from hours before anything is trained."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from bench.run import Run
from bench.train.autocast import autocast
from bench.train.loss import loss_of
from bench.train.network import build
from methods import Method, Network

__all__ = ["seconds_of_an_image", "stages_of"]

SAMPLE = 4  # images of a timed step on a CPU; a GPU is timed with the batch of the recipe, which alone fills it


def seconds_of_an_image(run: Run, device: torch.device) -> tuple[float, float]:
    """In a training step, summed over the stages that the method trains one after another, and in a forward pass.

    Raises Unsupported.
    """
    network = build(run.backbone, run.resolved, run.task.classes, run.recipe).to(device)
    train, last = 0.0, network
    for stage in run.resolved.stages(network):
        train, last = train + _train_seconds(stage, run, device), stage
    return train, _test_seconds(last, run, device)


def stages_of(run: Run) -> int:
    """How often the method trains."""
    if type(run.resolved).stages is Method.stages:
        return 1
    network = build(run.backbone, run.resolved, run.task.classes, run.recipe)
    return sum(1 for _ in run.resolved.stages(network))


def _train_seconds(network: Network, run: Run, device: torch.device) -> float:
    images = _images(run, device)
    labels = torch.zeros(len(images), dtype=torch.int64, device=device)

    def step() -> None:
        with autocast(device.type, run.recipe.precision):
            loss_of(network, network(images).float(), labels).backward()

    return _seconds(step, device) / len(images)


def _test_seconds(network: Network, run: Run, device: torch.device) -> float:
    images = _images(run, device)

    def test() -> None:
        with torch.inference_mode(), autocast(device.type, run.recipe.precision):
            network(images)

    return _seconds(test, device) / len(images)


def _images(run: Run, device: torch.device) -> torch.Tensor:
    count = run.recipe.batch_size if device.type == "cuda" else SAMPLE
    return torch.rand(count, 3, run.backbone.image_size, run.backbone.image_size, device=device)


def _seconds(part: Callable[[], None], device: torch.device) -> float:
    """The fastest of up to three calls after a first one, since a busy machine makes single ones far too slow."""
    part()
    _wait(device)
    taken: list[float] = []
    while len(taken) < 3 and sum(taken) < 0.5:
        started = time.perf_counter()
        part()
        _wait(device)
        taken.append(time.perf_counter() - started)
    return min(taken)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
