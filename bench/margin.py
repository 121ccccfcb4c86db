"""What a card must have beyond the planned peak: a stated margin, the same for every method."""

from __future__ import annotations

__all__ = ["FIXED", "SHARE", "needed"]

FIXED = 512 * 2**20  # the CUDA context and the workspaces of cuBLAS and cuDNN
SHARE = 0.05  # of the peak: fragments of the allocator, kernels with workspaces, kernels chosen otherwise


def needed(peak_bytes: int) -> int:
    """Bytes of a card on which a step with this planned peak fits."""
    return peak_bytes + round(SHARE * peak_bytes) + FIXED
