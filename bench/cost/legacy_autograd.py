"""What PyTorch 1.7 kept for backward, so that memory figures of its day can be planned (docs/memory.md).

A matrix product kept both operands whatever was frozen; softmax kept its input beside its output.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

__all__ = ["LEGACY"]


class Linear(Function):
    """x·Wᵀ + b that keeps x also when W is frozen."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Outputs (…×outputs) of inputs (…×inputs)."""
        ctx.save_for_backward(x, weight)
        output = functional.linear(x, weight, bias)
        return torch.ops.aten._unsafe_view(output, output.shape)  # no view of another, so it may be added to in place

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Gradients of what learns only."""
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        rows = gradient.flatten(0, -2)
        wanted = [*ctx.needs_input_grad, False][:3]
        return (
            gradient @ weight if wanted[0] else None,
            rows.T @ x.flatten(0, -2) if wanted[1] else None,
            rows.sum(0) if wanted[2] else None,
        )


class Product(Function):
    """a·b of equal batches that keeps both factors, as the rows of one batch, also when one needs no gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        """Batched matrix product; the factors are made contiguous first, as matmul does."""
        rows = math.prod(a.shape[:-2])
        left, right = a.reshape(rows, *a.shape[-2:]), b.reshape(rows, *b.shape[-2:])
        ctx.save_for_backward(left, right)
        ctx.shapes = a.shape, b.shape
        return torch.bmm(left, right).view(*a.shape[:-1], b.shape[-1])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Gradients of what learns only."""
        left, right = ctx.saved_tensors
        rows = gradients[0].reshape(len(left), left.shape[1], right.shape[2])
        first, second = ctx.needs_input_grad
        return (
            torch.bmm(rows, right.transpose(1, 2)).view(ctx.shapes[0]) if first else None,
            torch.bmm(left.transpose(1, 2), rows).view(ctx.shapes[1]) if second else None,
        )


class Softmax(Function):
    """Softmax that keeps its input beside its output."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dim: int) -> Tensor:
        """Probabilities along `dim`."""
        output = torch.softmax(x, dim)
        ctx.save_for_backward(x, output)
        ctx.dim = dim
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        """Return the gradient of the input."""
        (gradient,) = gradients
        _, output = ctx.saved_tensors
        return torch._softmax_backward_data(gradient, output, ctx.dim, output.dtype), None


def _softmax(input: Tensor, dim: int = -1, *_: Any, **__: Any) -> Tensor:
    return Softmax.apply(input, dim)


LEGACY: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.linear: Linear.apply,
    torch.matmul: Product.apply,
    Tensor.matmul: Product.apply,
    Tensor.__matmul__: Product.apply,
    functional.softmax: _softmax,
    torch.softmax: _softmax,
    Tensor.softmax: _softmax,
}
