"""Activation checkpointing: a block keeps only what it read, and is computed again when its gradient is due."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack, _pop_mode, _push_mode
from torch.utils.checkpoint import checkpoint

from methods import Network

__all__ = ["Recomputed", "blocks", "recompute"]


class Recomputed:
    """A block's `forward` that keeps its inputs only; as it was where no gradient is wanted."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self.forward = forward

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():  # what is extracted is computed once
            return self.forward(*inputs, **options)
        contexts = partial(_contexts, _get_current_function_mode_stack())
        return checkpoint(self.forward, *inputs, use_reentrant=False, context_fn=contexts, **options)


def recompute(network: Network) -> Network:
    """Change the network in place so that every transformer block is recomputed; gradients stay the same."""
    for block in blocks(network):
        block.forward = Recomputed(block.forward)
    return network


def blocks(network: Network) -> list[nn.Module]:
    """Return the transformer blocks, each with what a method wrapped around it; blocks of a side network count too."""
    found: dict[nn.Module, None] = {}
    inner: set[nn.Module] = set()
    for container in network.modules():  # outer modules come first
        if isinstance(container, nn.ModuleList | nn.Sequential):
            items = [item for item in container if item not in inner and _holds_one(item)]
            found |= dict.fromkeys(items)
            inner |= {part for item in items for part in item.modules()}
    return list(found)


def _holds_one(module: nn.Module) -> bool:
    """Return whether it is a block or wraps one; a sequence is looked into, since its parts are steps of their own."""
    return not isinstance(module, nn.Sequential) and sum(map(_is_block, module.modules())) == 1


def _is_block(module: nn.Module) -> bool:
    return hasattr(module, "attn") and hasattr(module, "mlp")


def _contexts(modes: Sequence[TorchFunctionMode]) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Give a context to either time; in the second what stood in for autocast does so again (bench.cost.cuda_rules)."""
    return nullcontext(), _under(modes)


@contextmanager
def _under(modes: Sequence[TorchFunctionMode]) -> Iterator[None]:
    for mode in modes:
        _push_mode(mode)
    try:
        yield
    finally:
        for _ in modes:
            _pop_mode()
