"""Multiply-adds and FLOPs, counted on the meta device, and the share of a device's peak that training uses.

Nothing is computed and no memory is needed. Operators are counted by torch's own formulas (torch.utils.flop_counter),
one multiply-add as two FLOPs, but for the backward pass of a convolution, whose groups torch leaves out of account, and
for fused attention, which counts as explicit products. Element-wise work, norms and softmax count nothing, as in every
published figure. Peaks of devices (device_peaks.csv, by CUDA's name) are dense, of matrix products in a precision.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.flop_counter import flop_registry

from methods import Network

__all__ = ["Flops", "ModuleMacs", "ShapeCache", "flops_of", "inference_macs", "peak_flops", "utilisation"]

TABLE = Path(__file__).with_name("device_peaks.csv")

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


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """The two products of attention in one kernel."""
    return 2 * _product(query, key)


def _attention_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """The products of explicit attention for those of its three inputs that want a gradient."""
    node = torch._C._current_autograd_node()
    wanted = [True] * 3 if node is None else [function is not None for function, _ in node.next_functions[:3]]
    of_query, of_key, of_value = wanted
    return (of_value + (of_query or of_key) + of_query + of_key) * _product(query, key)


def _product(query: Tensor, key: Tensor) -> int:
    """FLOPs of all scores of queries and keys; queries, keys and values have one width."""
    return 2 * query.numel() * key.shape[-2]


FORMULAS: dict[Any, Callable[..., int]] = {
    **flop_registry,
    torch.ops.aten.convolution_backward: _convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class ShapeCache:
    """Runs operators, and remembers what those give on the meta device that torch works out there in many steps.

    Their results are new tensors whose shape and format follow from those of the arguments alone.
    """

    SLOW = frozenset({
        torch.ops.aten.native_layer_norm.default, torch.ops.aten.native_layer_norm_backward.default,
        torch.ops.aten.gelu.default, torch.ops.aten.gelu_backward.default, torch.ops.aten.native_dropout.default,
        torch.ops.aten.native_dropout_backward.default,
    })  # fmt: skip

    def __init__(self) -> None:
        self._known: dict[Any, Any] = {}

    def run(self, operator: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Return what the operator returns."""
        if operator not in self.SLOW or not arguments[0].is_meta:
            return operator(*arguments, **named)
        key = operator, *map(_form, (*arguments, *named.values())), *named
        if key in self._known:
            return tree_map_only(_Form, _Form.made, self._known[key])
        result = operator(*arguments, **named)
        self._known[key] = tree_map_only(Tensor, _form, result)
        return result


@dataclass(frozen=True)
class _Form:
    """Shape, strides and number format of a tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    number_format: torch.dtype

    def made(self) -> Tensor:
        """Return a new tensor on the meta device."""
        return torch.empty_strided(self.shape, self.strides, dtype=self.number_format, device="meta")


def _form(value: Any) -> Any:
    """Of a tensor its form; other arguments of an operator as they are, but hashable."""
    if isinstance(value, Tensor):
        return _Form(tuple(value.shape), value.stride(), value.dtype)
    return tuple(value) if isinstance(value, list) else value


def flops_of(operator: Any, arguments: Any, named: Any, result: Any) -> int:
    """FLOPs of a call of an operator; 0 where there is no formula."""
    formula = FORMULAS.get(operator._overloadpacket)
    return 0 if formula is None else formula(*arguments, **(named or {}), out_val=result)


class Flops(TorchDispatchMode):
    """Adds up the FLOPs of every operator with a formula, forward and backward; `uncounted` names the others."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.uncounted: set[str] = set()
        self._shapes = ShapeCache()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = self._shapes.run(func, args, kwargs or {})
        if func._overloadpacket not in FORMULAS:
            self.uncounted.add(func._overloadpacket.__name__)
        self.total += flops_of(func, args, kwargs, result)
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


@torch.no_grad()
def inference_macs(network: Network, image_size: int) -> tuple[int, int]:
    """Multiply-adds for one image, with attention products and of layers only; `network` is on the meta device."""
    network.eval()
    with Flops() as all_operators, ModuleMacs() as layers:
        network(torch.empty(1, 3, image_size, image_size, device="meta"))
    return all_operators.total // 2, layers.total


def utilisation(flops_per_image: int, images_per_second: float, device: str, precision: str) -> float | None:
    """FLOPs of a training step, frozen and trained, over what the device could do in its time."""
    peak = peak_flops(device, precision)
    return None if peak is None else flops_per_image * images_per_second / peak


def peak_flops(device: str, precision: str) -> float | None:
    """FLOPs a second, two for each multiply-add."""
    stated = _table().get(device, {}).get(f"{precision}_teraflops")
    return float(stated) * 1e12 if stated else None


@cache
def _table() -> dict[str, dict[str, str]]:
    with TABLE.open(newline="") as file:
        return {row["device"]: row for row in csv.DictReader(file)}
