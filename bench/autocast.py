"""Automatic mixed precision by the recipe's word."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

__all__ = ["autocast"]

torch.backends.cudnn.allow_tf32 = False  # "fp32" means fp32: cuDNN would round what convolutions read to 10 bits
KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """A context in which matrix products run in `precision` ("fp32" changes nothing); `device` is "cpu" or "cuda"."""
    return torch.autocast(device, KINDS[precision]) if precision in KINDS else nullcontext()
