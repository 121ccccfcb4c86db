"""What a plan on CPU tensors must imitate to be true on CUDA: what autocast casts there, and what is kept for backward.

`CudaRules` sees every call of a torch function while it is active, forward and backward, and runs CUDA's form of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from bench.cost.legacy_autograd import LEGACY
from bench.train.autocast import KINDS

__all__ = ["Autograd", "CudaRules"]

Autograd = Literal["current", "legacy"]
Function = Callable[..., Any]

# CUDA's autocast lists, as far as vision transformers call them (torch's documentation, "Autocast Op Reference").
LOWERED: frozenset[Function] = frozenset(
    {
        functional.linear, functional.conv2d, torch.conv2d, functional.scaled_dot_product_attention,
        torch.matmul, Tensor.matmul, Tensor.__matmul__, Tensor.__rmatmul__, torch.bmm, Tensor.bmm,
        torch.mm, Tensor.mm, torch.addmm, torch.baddbmm, torch.einsum,
    }
)  # fmt: skip
RAISED: frozenset[Function] = frozenset(
    {
        functional.layer_norm, torch.layer_norm, functional.cross_entropy, functional.log_softmax, torch.log_softmax,
        torch.sum, Tensor.sum, torch.norm, Tensor.norm, functional.normalize, torch.exp, Tensor.exp,
        torch.log, Tensor.log, Tensor.pow, torch.pow, Tensor.__pow__, Tensor.__rpow__, functional.group_norm,
    }
)  # fmt: skip
SOFTMAX: frozenset[Function] = frozenset({functional.softmax, torch.softmax, Tensor.softmax})


class CudaRules(TorchFunctionMode):
    """Active over whole training steps; `forward()` marks the part in which a loop has autocast on."""

    def __init__(self, precision: str = "fp32", autograd: Autograd = "current") -> None:
        super().__init__()
        self._kind = KINDS.get(precision)
        self._replaced = REPLACED | (LEGACY if autograd == "legacy" else {})
        self._casts: dict[int, Tensor] | None = None

    @contextmanager
    def forward(self) -> Iterator[None]:
        """Casts of trainable weights are made once and kept until the end, as autocast does."""
        self._casts = {}
        try:
            yield
        finally:
            self._casts = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._kind is not None:
            if func in SOFTMAX:
                return self._softmax(*args, **kwargs)
            if func in LOWERED:
                args, kwargs = tree_map_only(Tensor, self._lower, (args, kwargs))
            elif func in RAISED:
                args, kwargs = tree_map_only(Tensor, _raise, (args, kwargs))
        return self._replaced.get(func, func)(*args, **kwargs)

    def _lower(self, tensor: Tensor) -> Tensor:
        """The tensor in low precision; a leaf that learns is cast once a forward pass."""
        if tensor.dtype != torch.float32:
            return tensor
        if self._casts is None or not (tensor.requires_grad and tensor.is_leaf):
            return tensor.to(self._kind)
        if id(tensor) not in self._casts:
            self._casts[id(tensor)] = tensor.to(self._kind)
        return self._casts[id(tensor)]

    def _softmax(self, input: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
        """In float32; from float16 in one kernel without a cast copy, which only fake tensors can imitate."""
        if functional.softmax in self._replaced:
            return self._replaced[functional.softmax](_raise(input), dim)
        if self._kind == torch.float16 and isinstance(input, torch._subclasses.FakeTensor):
            return torch._softmax(input, dim, input.dtype == torch.float16)
        return torch.softmax(input, dim, dtype=torch.float32)


def _raise(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """CUDA keeps a mask of one byte an element; the CPU keeps one of the input's type."""
    if not training or p == 0:
        return input
    return torch.native_dropout(input, p, True)[0]


REPLACED: dict[Function, Function] = {functional.dropout: _dropout}
