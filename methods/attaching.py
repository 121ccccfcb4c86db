"""Attaches a method to a network of timm, so that it can be trained: in the bench's loop or in one's own."""

from __future__ import annotations

from itertools import chain

from methods.backbones.chain import Vit
from methods.backbones.registry import prepare
from methods.base import Method, Network
from methods.spec import parse

__all__ = ["attach"]


def attach(
    vit: Vit, method: Method | str, classes: int, *, head: str = "normal", drop_path: float = 0.0, dropout: float = 0.0
) -> Network:
    """Freeze a vision transformer of timm, give it a fresh head, and build the method's network around it.

    Of the network that is returned exactly that learns which the method trains, and the head: give an optimiser the
    parameters with `requires_grad`. It has the device of `vit`, which is used up: build another for another method.

    Args:
        vit: A model of timm with its weights; what its parameters require, its head and its dropout do not matter.
        method: A method, or its spec as on the command line, such as "lora:rank=4".
        classes: Number of classes.
        head: How the head starts: "normal" (NOAH, DTL), "linear" (PyTorch's default) or "prior" (VPT).
        drop_path: Rate of stochastic depth in the last block; it rises linearly from 0 in the first.
        dropout: Rate of dropout after the embedding and in every MLP.

    Raises:
        ValueError: There is no such method, or a setting does not fit the backbone.
        Unsupported: The backbone lacks what the method needs.
    """
    chosen = _one(method) if isinstance(method, str) else method
    chosen.check_kind(vit)
    device = next(vit.parameters()).device
    prepared = prepare(vit.requires_grad_(False), classes, head, drop_path, dropout)
    network = chosen.attach(prepared)  # type: ignore[arg-type]  # whose kind was just checked
    elsewhere = any(tensor.device != device for tensor in chain(network.parameters(), network.buffers()))
    return network.to(device) if elsewhere else network  # what is new was made on the CPU


def _one(spec: str) -> Method:
    found = parse(spec)
    if len(found) > 1:
        raise ValueError(f"{spec!r} stands for {len(found)} methods; attach one of them at a time, such as {found[0]}")
    return found[0]
