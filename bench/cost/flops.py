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
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from methods import Network

__all__ = ["Flops", "ModuleMacs", "counted", "inference_macs", "peak_flops", "utilisation"]

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
    """Count the two products of attention in one kernel."""
    return 2 * _product(query, key)


def _attention_backward(gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> int:
    """Count the products of explicit attention for those of its three inputs that want a gradient."""
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


def counted(operator: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, int]:
    """Run an operator, and return its result and its FLOPs: 0 where there is no formula.

    What torch works out on the meta device in up to a hundred steps of Python follows from the forms of the arguments
    alone, so it is remembered: to make empty tensors of known forms is one step.
    """
    known = None
    if _is_remembered(operator):
        known = _known(operator, _form(arguments), *named, _form(tuple(named.values())))
        if known.forms is not None:
            forms = known.forms
            made = forms.made() if isinstance(forms, _Form) else tuple(form and form.made() for form in forms)
            return made, known.flops
    result = operator(*arguments, **named)
    formula = FORMULAS.get(operator._overloadpacket)
    flops = 0 if formula is None else formula(*arguments, **named, out_val=result)
    if known is not None and not known.seen:
        known.seen, known.flops, known.forms = True, flops, _forms_of(result, (arguments, named))
    return result, flops


@cache
def _is_remembered(operator: Any) -> bool:
    """Return whether the operator says that it changes no tensor and returns no view of one."""
    schema = operator._schema
    new = not schema.is_mutable and all(value.alias_info is None for value in schema.returns)
    return new and FORMULAS.get(operator._overloadpacket) is not _attention_backward  # which asks autograd


class _Form(NamedTuple):
    """Shape, strides and number format of a tensor."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    number_format: torch.dtype
    is_meta: bool = True

    def made(self) -> Tensor:
        """Return a new tensor on the meta device."""
        return torch.empty_strided(self.shape, self.strides, dtype=self.number_format, device="meta")


Forms = _Form | tuple[_Form | None, ...]


def _form(value: Any) -> Any:
    """Return something hashable that is equal for arguments of equal form: of other values than tensors, all."""
    if isinstance(value, Tensor):
        return _Form(value.shape, value.stride(), value.dtype, value.is_meta)
    if isinstance(value, list | tuple):
        return tuple(map(_form, value))
    return type(value), value  # 1 and 1.0 are equal, and give tensors of other formats


def _forms_of(result: Any, arguments: Any) -> Forms | None:
    """Return the form of a tensor, or of each in a tuple; None where they are not new and whole, or not on meta."""
    results = result if isinstance(result, tuple) else (result,)
    tensors = [value for value in results if value is not None]
    inputs = [value for value in tree_iter(arguments) if isinstance(value, Tensor)]
    if not all(isinstance(value, Tensor) and value.is_meta for value in (*tensors, *inputs)):
        return None
    storages = {value.untyped_storage()._cdata for value in tensors}
    if len(storages) < len(tensors) or storages & {value.untyped_storage()._cdata for value in inputs}:
        return None
    forms = tuple(None if value is None else _Form(value.shape, value.stride(), value.dtype) for value in results)
    sizes = ((value.untyped_storage().nbytes(), _form(value).made().untyped_storage().nbytes()) for value in tensors)
    if not tensors or any(size != made for size, made in sizes):
        return None
    return forms if isinstance(result, tuple) else forms[0]


@dataclass
class _Known:
    """What follows from an operator and the forms of its arguments; without forms it is worked out every time."""

    seen: bool = False
    flops: int = 0
    forms: Forms | None = None


@lru_cache(maxsize=2**14)  # a plan of a method has about a hundred
def _known(*operator_and_forms: Any) -> _Known:
    return _Known()


class Flops(TorchDispatchMode):
    """Adds up the FLOPs of every operator with a formula, forward and backward; `uncounted` names the others."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0
        self.uncounted: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, flops = counted(func, args, kwargs or {})
        if func._overloadpacket not in FORMULAS:
            self.uncounted.add(func._overloadpacket.__name__)
        self.total += flops
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
