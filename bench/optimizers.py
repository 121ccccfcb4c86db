"""The optimiser of a recipe over the tensors of a network that learn."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from bench.schedules import base_rate
from methods.recipe import Recipe

__all__ = ["optimizer_of"]


def optimizer_of(network: nn.Module, recipe: Recipe) -> Optimizer:
    """One fused optimiser with two groups: what decays and what does not."""
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if _decays(recipe, name, p)]
    groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": _without([p for _, p in named], decayed), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    rate = base_rate(recipe)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=recipe.momentum, fused=True)
    kind = {"adamw": AdamW, "adam": Adam}[recipe.optimizer]
    return kind(groups, lr=rate, eps=recipe.epsilon, fused=True)


def _decays(recipe: Recipe, name: str, parameter: nn.Parameter) -> bool:
    """`matrices` leaves out one-dimensional tensors (NOAH), `not_biases` those called bias (VPT, DTL)."""
    if recipe.decay == "matrices":
        return parameter.ndim > 1
    return recipe.decay == "all" or not name.endswith("bias")


def _without(parameters: Iterable[nn.Parameter], others: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    left_out = {id(p) for p in others}
    return [p for p in parameters if id(p) not in left_out]
