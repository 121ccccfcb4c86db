"""A CUDA device that is not there: fake tensors say where they are, and every crossing to or from the host is counted.

Forward passes go through torch's own dispatcher with CUDA's autocast; the backward pass is walked here node by node,
since torch's engine asks the driver for streams.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CUDA = torch.device("cuda", 0)
ASKED = {
    "item",
    "is_nonzero",
    "_local_scalar_dense",
    "nonzero",
    "equal",
    "masked_select",
    "bincount",
    "unique_dim",
    "_unique2",
}


class Device(TorchDispatchMode):
    """Counts what the host asks of the device or sends to it, and refuses a generator of the host for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.crossings: Counter[str] = Counter()
        self.updated = 0  # tensors that a fused optimiser has moved

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func._overloadpacket.__name__
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        here = {value.device.type for value in given if value.ndim or value.device.type == "cuda"}
        if name.startswith("_fused_"):
            self.updated += len(args[0])
        if name in ASKED:
            self.crossings[name] += "cuda" in here
            return True if name == "equal" else ANSWERS[args[0].dtype.is_floating_point]
        for value in given if "device" in kwargs else ():
            value.constant = None  # a number known on the host would be copied for real
        result = func(*args, **kwargs)
        made = {value.device.type for value in tree_leaves(result) if isinstance(value, Tensor)}
        if len(here | made) > 1 and made:
            self.crossings[name] += 1
        if (generator := kwargs.get("generator")) is not None and made - {generator.device.type}:
            raise RuntimeError(f"Expected a '{made.pop()}' device type for generator but found 'cpu'")
        return result


ANSWERS = {True: 0.5, False: 1}  # to a host that asks for a number


@contextlib.contextmanager
def pretended(patch: pytest.MonkeyPatch) -> Iterator[Device]:
    """Inside, CUDA is there as far as autocast, gradient scaling and tensors can tell."""
    patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
    patch.setattr("torch.cuda.is_bf16_supported", lambda: True)
    patch.setattr("torch.autograd._engine_run_backward", backward)
    patch.setattr(nn.Module, "to", moved)
    patch.setattr(Tensor, "pin_memory", Tensor.clone)  # fake tensors know nothing of it
    patch.setattr(
        "bench.train.network._bare", lambda backbone: backbone.build_on_meta()
    )  # a copy of a fake is of no mode
    patch.setattr("bench.train.network._copied", lambda network, memo: network)
    with FakeTensorMode(), Device() as device:
        yield device


def moved(module: nn.Module, place: torch.device | str) -> nn.Module:
    """As `Module.to` moves: parameters and registered buffers, nothing else; a module with two names once."""
    mode = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)

    def move(tensor: Tensor) -> Tensor:
        return mode.from_tensor(tensor).to(place)

    for each in module.modules():
        each._apply(move, recurse=False)
    return module


@torch.no_grad()
def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor], *_: Any, **__: Any) -> tuple[Any, ...]:
    """Every node of the graph once, after all that read what it made."""
    order = _sorted([output.grad_fn for output in outputs])
    due: dict[Any, dict[int, Tensor]] = {}
    for output, gradient in zip(outputs, gradients, strict=True):
        due.setdefault(output.grad_fn, {})[output.output_nr] = gradient
    for node in order:
        given = due.pop(node, {})
        for (reader, place), gradient in zip(node.next_functions, _applied(node, given), strict=False):
            if reader is not None and gradient is not None:
                places = due.setdefault(reader, {})
                fitting = _fitting(gradient, reader._input_metadata[place])
                places[place] = places[place] + fitting if place in places else fitting
    return ()


def _fitting(gradient: Tensor, wanted: Any) -> Tensor:
    """As the engine hands a gradient on: broadcasting undone, in the type of what it belongs to, on the same device."""
    if gradient.device != wanted.device:
        raise RuntimeError(f"a gradient on {gradient.device} for a tensor on {wanted.device}")
    return gradient.sum_to_size(wanted.shape).to(wanted.dtype)


def _applied(node: Any, given: dict[int, Tensor]) -> tuple[Any, ...]:
    kinds = node._input_metadata
    if hasattr(node, "_forward_cls"):  # a torch.autograd.Function wants zeros where nothing came
        zeros = (torch.zeros(kind.shape, dtype=kind.dtype, device=kind.device) for kind in kinds)
        result = node.apply(*(given.get(place, zero) for place, zero in enumerate(zeros)))
    else:
        result = node(*(given.get(place) for place in range(len(kinds))))
    return result if isinstance(result, tuple) else (result,)


def _sorted(roots: Sequence[Any]) -> list[Any]:
    """Nodes, readers first."""
    seen: set[Any] = set()
    order: list[Any] = []
    stack = [(root, False) for root in roots]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack += [(reader, False) for reader, _ in node.next_functions if reader is not None]
    return order[::-1]
