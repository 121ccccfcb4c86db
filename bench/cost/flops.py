"""Multiply-adds and FLOPs, counted on the meta device: nothing is computed and no memory is needed.

Operators are counted by torch's own formulas (torch.utils.flop_counter), one multiply-add as two FLOPs, but for the
backward pass of a convolution, whose groups torch leaves out of account. Element-wise work, norms and softmax count
nothing, as in every published figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.train.loss import loss_of
from methods import Network

__all__ = ["Flops", "ModuleMacs", "TrainFlops", "inference_macs", "train_flops"]

CONVOLUTIONS: frozenset[Callable[..., Any]] = frozenset({functional.conv1d, functional.conv2d, functional.conv3d})


def _convolution_backward(
    gradient: Tensor,
    images: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
    wanted: Sequence[bool],
    **_: Any,
) -> int:
    """Gradients of the input and of the weight, where they are `wanted`: each takes the products of the forward pass.

    A weight has as many input channels as one group, so that groups are in its size.
    """
    sites = images if transposed else gradient
    forward = 2 * len(sites) * math.prod(sites.shape[2:]) * weight.numel()
    return forward * sum(wanted[:2])


FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten.convolution_backward: _convolution_backward,
}


class Flops(TorchDispatchMode):
    """Adds up the FLOPs of every operator with a formula, forward and backward; `uncounted` names the others."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = FORMULAS.get(func._overloadpacket)
        if formula is None:
            self.uncounted.add(func._overloadpacket.__name__)
        else:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


class ModuleMacs(TorchFunctionMode):
    """Adds up the multiply-adds of linear and convolution layers only, the convention of the papers' tables."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is functional.linear or func in CONVOLUTIONS:
            weight: Tensor = args[1] if len(args) > 1 else (kwargs or {})["weight"]
            self.total += result.numel() * math.prod(weight.shape[1:])
        return result


@dataclass(frozen=True)
class TrainFlops:
    """FLOPs of one training step."""

    frozen: int
    trained: int


@torch.no_grad()
def inference_macs(network: Network, image_size: int) -> tuple[int, int]:
    """Multiply-adds for one image, with attention products and of layers only; `network` is on the meta device."""
    network.eval()
    with Flops() as all_operators, ModuleMacs() as layers:
        network(_images(1, image_size))
    return all_operators.total // 2, layers.total


def train_flops(network: Network, image_size: int, batch_size: int) -> TrainFlops:
    """`extract`, and `adapt` forward and backward with what is computed again there; `network` is on meta."""
    network.train()
    with Flops() as frozen:
        features = network.extract(_images(batch_size, image_size))
    with Flops() as trained:
        logits = network.adapt(features)
        labels = torch.zeros(batch_size, dtype=torch.int64, device="meta")
        loss_of(network, logits, labels).backward()
    network.zero_grad(set_to_none=True)
    return TrainFlops(frozen.total, trained.total)


def _images(count: int, size: int) -> Tensor:
    return torch.empty(count, 3, size, size, device="meta")
