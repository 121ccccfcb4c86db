"""From a backbone, a method and a recipe to the network that is trained, and what is counted on it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

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
    """The network with its weights; random numbers come from the global seed."""
    return _assemble(backbone.load(), method, classes, recipe)


def build_on_meta(backbone: Backbone, method: Method, classes: int, recipe: Recipe) -> Network:
    """The same network on the meta device: shapes and counts without weights or memory."""
    with torch.device("meta"):
        network = _assemble(copy.deepcopy(_bare(backbone)), method, classes, recipe)
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
    """Built once and copied for every method, which takes a quarter of the time."""
    return backbone.build_on_meta()


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
