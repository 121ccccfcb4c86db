"""Provides layers that keep less for their backward pass than PyTorch's own: ReGELU2, MS-LN and VeLoRA.

ReGELU2 and MS-LN: "Reducing Fine-Tuning Memory Overhead by Approximate and Memory-Sharing Backpropagation" (Yang, Shi,
Wang, Zhen, Shi, Xu; ICML 2024). VeLoRA: "Memory Efficient Training using Rank-1 Sub-Token Projections" (Miles, Reddy,
Elezi, Deng; NeurIPS 2024). Their forward passes are the plain ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from methods.states import read_type

__all__ = ["MsNorm", "ReGelu2", "VeloraLinear", "packed_bits", "unpacked_bits"]

# Of the sum of three ReLUs that is closest to GELU: where each begins, and the slopes between them, 0 before the first.
THRESHOLDS = (-3.1858810036855245, -0.001178821281161997, 3.190832613414926)
SLOPES = (-0.04922261145617846, 1.0487405950855512, 1.0)
PACKED = 4  # numbers of two bits in a byte


class ReGelu2(nn.Module):
    """GELU whose gradient has one of four slopes, so that two bits an element are kept."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            return _ReGelu2.apply(x)
        return functional.gelu(x)


class _ReGelu2(Function):
    """Packs two bits an element; the elements are cut into four contiguous parts, whose bits share bytes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        parts = x.flatten().split(max(1, -(-x.numel() // PACKED)))
        packed = torch.zeros(len(parts[0]), dtype=torch.uint8, device=x.device)
        for i, part in enumerate(parts):
            segment = (part > THRESHOLDS[0]).to(torch.uint8)
            for threshold in THRESHOLDS[1:]:
                segment += part > threshold
            packed[: len(part)].bitwise_or_(segment << 2 * i)
        ctx.save_for_backward(packed)
        return functional.gelu(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (gradient,), (packed,) = gradients, ctx.saved_tensors
        result = torch.empty_like(gradient, memory_format=torch.contiguous_format)
        pairs = zip(gradient.flatten().split(len(packed)), result.view(-1).split(len(packed)), strict=True)
        for i, (part, out) in enumerate(pairs):
            segment = packed[: len(part)] >> 2 * i & 3
            out.zero_()
            for number, slope in enumerate(SLOPES, start=1):
                out.masked_fill_(segment == number, slope)
            out.mul_(part)
        return result


class MsNorm(nn.Module):
    """Layer norm without scale and shift that keeps its output, in the number format in which the next layer reads it.

    The next layer keeps the same tensor for its weights, so that the two keep one instead of two.
    """

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.shape, self.eps = norm.normalized_shape, norm.eps

    def forward(self, x: Tensor) -> Tensor:
        kind = read_type(x)
        if torch.is_grad_enabled() and x.requires_grad:
            return _MsNorm.apply(x, self.shape, self.eps, kind)
        return functional.layer_norm(x, self.shape, eps=self.eps).to(kind)


class _MsNorm(Function):
    """Computes y = (x - mean) r, and dx = r (dy - mean(dy) - y mean(dy y)) from y and r = 1/√(variance + ε)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: tuple[int, ...], eps: float, kind: torch.dtype) -> Tensor:
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        y, _, scale = torch.native_layer_norm(wide, shape, None, None, eps)
        y = y.to(kind)
        ctx.save_for_backward(y, scale)
        ctx.axes, ctx.kind = tuple(range(-len(shape), 0)), x.dtype
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, scale = ctx.saved_tensors
        gradient, y = gradients[0].to(scale.dtype), y.to(scale.dtype)
        along = (gradient * y).mean(ctx.axes, keepdim=True)
        result = gradient - gradient.mean(ctx.axes, keepdim=True)
        return result.addcmul_(y, along, value=-1).mul_(scale).to(ctx.kind), None, None, None


class VeloraLinear(nn.Linear):
    """A linear layer that keeps, of an input cut into `groups` parts, one number a part: its product with a direction.

    The direction, one for all parts, is the mean of all parts of the first training batch at length 1. The gradient of
    the weight is that of the projected input, times `scale`; those of input and bias are exact. In evaluation mode the
    layer is a plain one.
    """

    direction: Tensor

    def __init__(self, layer: nn.Linear, groups: int, scale: float) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.groups, self.scale, self.ready = groups, scale, False
        self.register_buffer("direction", layer.weight.detach().new_zeros(layer.in_features // groups))

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().forward(x)
        if not self.ready:
            self._choose(x.detach())
        return _Velora.apply(x, self.weight, self.bias, self.direction, self.scale)

    @torch.no_grad()
    def _choose(self, x: Tensor) -> None:
        mean = x.reshape(-1, len(self.direction)).to(self.direction.dtype).mean(dim=0)
        self.direction.copy_(mean / mean.norm())
        self.ready = True

    def _load_from_state_dict(self, state: Mapping[str, Any], *args: Any) -> None:
        super()._load_from_state_dict(state, *args)
        self.ready = bool(self.direction.any())


class _Velora(Function):
    """Keeps x (…×C) as z (M×G), M = B·N; with dy (M×O), dW = scale · (dyᵀ z) ⊗ v, which is O×G×(C/G)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, direction: Tensor, scale: float) -> Tensor:
        parts = x.reshape(-1, x.shape[-1] // len(direction), len(direction))
        ctx.save_for_backward(parts @ direction.to(x.dtype), weight, direction)
        ctx.scale, ctx.kind = scale, x.dtype
        return functional.linear(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        code, weight, direction = ctx.saved_tensors
        gradient, needed = gradients[0], ctx.needs_input_grad
        rows = gradient.flatten(0, -2)
        for_x = (gradient @ weight.to(gradient.dtype)).to(ctx.kind) if needed[0] else None
        for_weight = None
        if needed[1]:
            products = (rows.T @ code.to(rows.dtype)).to(weight.dtype)
            for_weight = (products.unsqueeze(2) * (ctx.scale * direction)).flatten(1)
        return for_x, for_weight, rows.sum(dim=0).to(weight.dtype) if needed[2] else None, None, None


def packed_bits(mask: Tensor) -> Tensor:
    """Pack a boolean tensor into an eighth of its bytes."""
    parts = mask.flatten().split(max(1, -(-mask.numel() // 8)))
    packed = torch.zeros(len(parts[0]), dtype=torch.uint8, device=mask.device)
    for i, part in enumerate(parts):
        packed[: len(part)].bitwise_or_(part.to(torch.uint8) << i)
    return packed


def unpacked_bits(packed: Tensor, shape: torch.Size) -> Tensor:
    """Unpack what `packed_bits` packed, a boolean tensor of this shape."""
    every = torch.cat([(packed >> i & 1).bool() for i in range(8)])
    return every[: shape.numel()].view(shape)
