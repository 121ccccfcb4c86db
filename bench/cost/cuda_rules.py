"""What a plan on the meta device must imitate to be true on CUDA.

`CudaRules` sees every call of a torch function while it is active, forward and backward, and runs CUDA's form of it:
what autocast casts there, and what is kept for the backward pass. `Rules` says whose code is imitated. Kernels of CUDA
also take memory beside their results, which tensors elsewhere do not show: `workspace_bytes` and `attention_bytes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from bench.cost.legacy_autograd import LEGACY
from bench.train.step import KINDS, Gradients

__all__ = ["SOFTMAX", "TODAY", "Autograd", "CudaRules", "Rules", "attention_bytes", "hold_scores", "workspace_bytes"]

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

# Of PyTorch's reduction kernel (ATen/native/cuda/Reduce.cuh, `setReduceConfig`): a sum over the rows of a wide matrix,
# as for the gradient of a bias, is split among thread blocks that put partial sums into a buffer, which for a large
# batch is half as large as what is summed. The sizes were found to the byte in the allocator's history on an H200. Not
# known here: workspaces of cuDNN's convolutions.
MULTIPROCESSORS, THREADS = 132, 2048  # of an H100 or H200; threads of one multiprocessor
MAX_THREADS = 512  # of a reduction's block
VALUES = 16, 256  # a thread sums at least, and at most, so many values where it can
WARP = 32
SUMS = (torch.ops.aten.sum.dim_IntList, torch.ops.aten.mean.dim)
ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


@dataclass(frozen=True)
class Rules:
    """`autograd`: today's, or PyTorch 1.7's, which kept both operands of every product and the input of softmax.

    `gradients`: freed before the forward pass (as the training loop here does), after it (DTL's loop), or zeroed
    in place and so never freed (PyTorch before 2.0). `scores`: freed by the softmax, or held until the attention
    layer returns, since a local variable of VPT's released code names them.
    """

    autograd: Autograd = "current"
    gradients: Gradients = "freed_before"
    scores: Literal["freed", "held"] = "freed"


TODAY = Rules()


class CudaRules(TorchFunctionMode):
    """Imitates CUDA in whole training steps; `forward()` marks the part in which a loop has autocast on."""

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
        """Return the tensor in low precision; a leaf that learns is cast once a forward pass."""
        if tensor.dtype != torch.float32:
            return tensor
        if self._casts is None or not (tensor.requires_grad and tensor.is_leaf):
            return tensor.to(self._kind)
        if id(tensor) not in self._casts:
            self._casts[id(tensor)] = tensor.to(self._kind)
        return self._casts[id(tensor)]

    def _softmax(self, input: Tensor, dim: int, *_: Any, **__: Any) -> Tensor:
        """Compute in float32; from float16 in one kernel without a cast copy, which only meta tensors can imitate."""
        if functional.softmax in self._replaced:
            return self._replaced[functional.softmax](_raise(input), dim)
        if self._kind == torch.float16 and input.is_meta:
            return torch._softmax(input, dim, input.dtype == torch.float16)
        return torch.softmax(input, dim, dtype=torch.float32)


def _raise(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """CUDA keeps a mask of one byte an element; the CPU keeps one of the input's type."""
    if not training or p == 0:
        return input
    return torch.native_dropout(input, p, True)[0]


def _attention(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0, **named: Any
) -> Tensor:
    """Run one kernel where there is one for these arguments; the meta device would take explicit products."""
    one_width = query.shape[-1] == key.shape[-1] == value.shape[-1]
    mask_learns = attn_mask is not None and attn_mask.requires_grad
    if query.is_meta and query.dim() == 4 and one_width and not dropout_p and not mask_learns:
        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        output: Tensor = fused(query, key, value, attn_mask=attn_mask, **named)[0]
        return output
    return functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, **named)


REPLACED: dict[Function, Function] = {
    functional.dropout: _dropout,
    functional.scaled_dot_product_attention: _attention,
}


def hold_scores(network: nn.Module, rules: Rules) -> AbstractContextManager[object]:
    """Return a context in which the scores are held where the rules say so; to be entered inside that of CudaRules."""
    return _Held(network) if rules.scores == "held" else nullcontext()


class _Held(TorchFunctionMode):
    """Keeps the input of every softmax until the attention layer that it is in is left."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._scores: list[Tensor] = []
        self._hooks: list[Any] = []
        self._layers = [module for module in network.modules() if hasattr(module, "fused_attn")]

    def __enter__(self) -> _Held:
        self._hooks = [layer.register_forward_hook(lambda *_: self._scores.clear()) for layer in self._layers]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in SOFTMAX:
            self._scores.append(args[0])
        return func(*args, **(kwargs or {}))


def workspace_bytes(operator: Any, arguments: tuple[Any, ...]) -> int:
    """Return what the operator takes while it runs, in bytes; 0 for all but wide sums over rows."""
    if operator not in SUMS or len(arguments) < 2:
        return 0
    tensor, dims = arguments[0], arguments[1] or range(arguments[0].dim())
    reduced = {dim % tensor.dim() for dim in dims} if tensor.dim() else set()
    if tensor.dim() == 0 or tensor.stride(-1) != 1 or tensor.dim() - 1 in reduced:
        return 0  # a sum along the innermost dimension has one value a block, which is little
    rows = math.prod(tensor.shape[dim] for dim in reduced)
    return _row_sum_bytes(rows, tensor.numel() // max(rows, 1), tensor.shape[-1], tensor.dtype)


def attention_bytes(operator: Any, result: Tensor) -> int | None:
    """Return the bytes of the log-sum-exp that fused attention keeps in float32, rows padded to a multiple of 32.

    None where the result is no such thing, or the kernel (FlashAttention, in half precision) does not pad.
    """
    if operator is not ATTENTION or result.dim() != 3 or result.dtype != torch.float32:
        return None
    return math.prod(result.shape[:2]) * -(-result.shape[2] // 32) * 32 * 4


def _row_sum_bytes(rows: int, columns: int, innermost: int, number_format: torch.dtype) -> int:
    """Partial sums in float32 (float64 for float64) where several thread blocks share a column."""
    vector = next(size for size in (4, 2, 1) if innermost % size == 0)
    threads = MAX_THREADS // vector
    wide = min(_power_of_two(columns // vector), threads)
    width = min(wide, WARP)
    height = min(_power_of_two(rows), threads // width)
    width = min(wide, threads // height)
    if rows < min(height * VALUES[0], VALUES[1]):
        return 0
    values = -(-rows // height)
    grid = -(-(columns // vector) // width)
    room = MULTIPROCESSORS * (THREADS // (width * height))
    if values < VALUES[1] or grid > room:
        return 0
    blocks = max(min(-(-room // grid), -(-values // VALUES[0])), -(-values // VALUES[1]))
    size = 8 if number_format == torch.float64 else 4
    return size * columns * blocks * width * vector if blocks > 1 else 0


def _power_of_two(number: int) -> int:
    """Return the largest power of two that is not above the number."""
    return 1 << max(number.bit_length() - 1, 0)
