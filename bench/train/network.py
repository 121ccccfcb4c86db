"""From a backbone, a method and a recipe to the network that is trained, and what is counted on it."""

from __future__ import annotations

import copy
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from methods import Method, Network, attach
from methods.backbones.chain import Vit
from methods.backbones.registry import Backbone
from methods.parts.activations import Activations, keep_less
from methods.recipe import Recipe

__all__ = ["Counts", "build", "build_on_meta", "count"]


@dataclass(frozen=True)
class Counts:
    """Numbers of scalars."""

    trainable: int
    trainable_without_head: int
    total: int
    printed_extra: int  # what the source's count has beside the trainable ones


def build(backbone: Backbone, method: Method, classes: int, recipe: Recipe) -> Network:
    """Build the network with its weights; random numbers come from the global seed."""
    return _assemble(backbone.load(), method, classes, recipe)


def build_on_meta(backbone: Backbone, method: Method, classes: int, recipe: Recipe) -> Network:
    """Build the network on the meta device: shapes and counts without weights or memory."""
    with torch.device("meta"), _Unfilled():
        network = _assemble(_copied(_bare(backbone), {}), method, classes, recipe)
        for module in network.modules():  # a part of a larger tensor becomes one of its own on its way to a device
            for name, buffer in module._buffers.items():
                module._buffers[name] = None if buffer is None else buffer.clone()
        return network


def count(network: Network) -> Counts:
    """Scalars that learn, with and without the head, and all; trainable and frozen ones add up to the total."""
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    head = sum(p.numel() for p in network.head.parameters() if p.requires_grad)
    total = sum(p.numel() for p in network.parameters())
    return Counts(trainable, trainable - head, total, network.printed_extra)


@lru_cache(maxsize=4)
def _bare(backbone: Backbone) -> Vit:
    """Built once and copied for every method, which takes a fifth of the time."""
    return backbone.build_on_meta()


def _copied(value: Any, memo: dict[int, Any]) -> Any:
    """Copy a module as `copy.deepcopy` does, in a quarter of its time: most of a module are empty tables of hooks."""
    if isinstance(value, nn.Module):
        if id(value) not in memo:
            memo[id(value)] = twin = object.__new__(type(value))
            twin.__dict__ = _copied(value.__dict__, memo)
        return memo[id(value)]
    if type(value) in (dict, OrderedDict):
        return type(value)((key, _copied(each, memo)) for key, each in value.items())
    if type(value) is set and not value:
        return set()
    return copy.deepcopy(value, memo)


class _Unfilled(TorchFunctionMode):
    """Leaves out the filling of tensors with numbers, which would change nothing on the meta device but take long."""

    FILLS = frozenset({
        Tensor.uniform_, Tensor.normal_, Tensor.fill_, Tensor.zero_, Tensor.erfinv_, Tensor.clamp_, Tensor.mul_,
        Tensor.add_,
    })  # fmt: skip

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.FILLS and args[0].is_meta and not any(isinstance(value, Tensor) for value in args[1:]):
            return args[0]
        return func(*args, **(kwargs or {}))


def _assemble(vit: Vit, method: Method, classes: int, recipe: Recipe) -> Network:
    network = attach(
        vit, method, classes, head=recipe.head, drop_path=recipe.drop_path, dropout=recipe.backbone_dropout
    )
    _choose_attention(network, fused=recipe.attention == "fused")
    keep_less(network, Activations.of(recipe.activations))
    return network


def _choose_attention(network: nn.Module, fused: bool) -> None:
    """Fused kernels, or the explicit product of queries and keys, in every attention layer."""
    for module in network.modules():
        if hasattr(module, "fused_attn"):
            setattr(module, "fused_attn", fused)  # noqa: B010 - nn.Module hides the type of the attribute
