"""What a card must have beyond the planned reserved memory: a stated margin, the same for every method.

Of 136 cases that were measured on an H200 (results/measured/gpu_memory.csv) half reserve within 0.2 % of the plan, and
all but two at most 6.6 % more; those two, side-tuning in fp32 with convolutions of cuDNN, at most 188 MiB more. The
CUDA context lies outside of the allocator and was not measured.
"""

from __future__ import annotations

__all__ = ["FIXED", "SHARE", "needed"]

FIXED = 512 * 2**20  # the CUDA context
SHARE = 0.05  # of what is reserved: workspaces of cuDNN, kernels chosen otherwise on another card


def needed(reserved_bytes: int) -> int:
    """Bytes of a card on which a step fits that is planned to reserve so much."""
    return reserved_bytes + round(SHARE * reserved_bytes) + FIXED
