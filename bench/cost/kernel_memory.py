"""Memory that CUDA's kernels take beside their results, which tensors on a CPU do not show.

A sum over the rows of a wide matrix (the gradient of a bias, of a scale, of a shift) is split among thread blocks
that put partial sums into a buffer; for a large batch that buffer is half as large as what is summed. The rules are
those of PyTorch's reduction kernel (ATen/native/cuda/Reduce.cuh, `setReduceConfig`), and the sizes that follow from
them were found to the byte in the allocator's history on an H200. Not known here: workspaces of cuDNN's convolutions.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

__all__ = ["attention_bytes", "workspace_bytes"]

MULTIPROCESSORS, THREADS = 132, 2048  # of an H100 or H200; threads of one multiprocessor
MAX_THREADS = 512  # of a reduction's block
VALUES = 16, 256  # a thread sums at least, and at most, so many values where it can
WARP = 32
SUMS = (torch.ops.aten.sum.dim_IntList, torch.ops.aten.mean.dim)
ATTENTION = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default


def workspace_bytes(operator: Any, arguments: tuple[Any, ...]) -> int:
    """What the operator takes while it runs, in bytes; 0 for all but wide sums over rows."""
    if operator not in SUMS or len(arguments) < 2:
        return 0
    tensor, dims = arguments[0], arguments[1] or range(arguments[0].dim())
    reduced = {dim % tensor.dim() for dim in dims} if tensor.dim() else set()
    if tensor.dim() == 0 or tensor.stride(-1) != 1 or tensor.dim() - 1 in reduced:
        return 0  # a sum along the innermost dimension has one value a block, which is little
    rows = math.prod(tensor.shape[dim] for dim in reduced)
    return _row_sum_bytes(rows, tensor.numel() // max(rows, 1), tensor.shape[-1], tensor.dtype)


def attention_bytes(operator: Any, result: Tensor) -> int | None:
    """Bytes of the log-sum-exp that fused attention keeps in float32: its rows are padded to a multiple of 32.

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
    """The largest power of two that is not above the number."""
    return 1 << max(number.bit_length() - 1, 0)
