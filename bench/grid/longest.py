"""The order in which workers take runs: longest first, so that no long one is left alone at the end."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from bench.cost.flops import ModuleMacs
from bench.run import Run
from bench.train.network import skeleton
from methods import Method, Unsupported
from methods.backbones.registry import Backbone
from methods.recipe import Recipe

__all__ = ["longest_first"]


def longest_first(runs: Sequence[Run]) -> list[Run]:
    """By planned multiply-adds of training and test, a backward pass counted as two forward; equals stay in order."""
    return sorted(runs, key=_work, reverse=True)


def _work(run: Run) -> float:
    frozen, trained = _work_of_an_image(run.backbone, run.resolved, run.recipe)
    sizes = run.task.sizes
    return (frozen + 3 * trained) * sizes["train"] * run.recipe.epochs + (frozen + trained) * sizes["test"]


@cache
@torch.no_grad()
def _work_of_an_image(backbone: Backbone, method: Method, recipe: Recipe) -> tuple[int, int]:
    """Of `extract` and `adapt`; the classes of the head hardly matter. Nothing where nothing can run."""
    try:
        network = skeleton(backbone, method, 2, recipe).eval()
    except Unsupported:
        return 0, 0
    images = torch.empty(1, 3, backbone.image_size, backbone.image_size, device="meta")
    with ModuleMacs() as frozen:
        features = network.extract(images)
    with ModuleMacs() as trained:
        network.adapt(features)
    return frozen.total, trained.total
