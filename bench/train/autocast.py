"""Automatic mixed precision by the recipe's word."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

__all__ = ["autocast", "lower_frozen"]

torch.backends.cudnn.allow_tf32 = False  # "fp32" means fp32: cuDNN would round what convolutions read to 10 bits
KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRODUCTS = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in `precision` ("fp32" changes nothing); `device` is "cpu" or "cuda"."""
    return torch.autocast(device, KINDS[precision]) if precision in KINDS else nullcontext()


def lower_frozen(network: nn.Module, precision: str) -> None:
    """Cast the frozen weights of linear layers and convolutions once, in place, to what autocast makes of them.

    Autocast casts a weight that does not learn at every use, and the backward pass keeps the cast beside the weight.
    Products see the same numbers either way. Biases, norms and embeddings, which are small or are added in float32,
    stay as they are, and so does a module that says `keeps_precision`, since it computes with its weights itself.
    """
    if precision not in KINDS:
        return
    apart = (module for module in network.modules() if getattr(module, "keeps_precision", False))
    kept = {id(child) for module in apart for child in module.modules()}
    for module in network.modules():
        if isinstance(module, PRODUCTS) and id(module) not in kept and _is_frozen(module.weight):
            module.weight = nn.Parameter(module.weight.detach().to(KINDS[precision]), requires_grad=False)


def _is_frozen(weight: torch.Tensor) -> bool:
    return isinstance(weight, nn.Parameter) and weight.dtype == torch.float32 and not weight.requires_grad
