"""How runs are carried out: where, and with which caches. Nothing here changes what a run is or what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

__all__ = ["CacheLimits", "Execution"]


@dataclass(frozen=True)
class CacheLimits:
    """Bytes that frozen features may take in each place; None is a quarter of the memory there is."""

    device: int | None = None
    host: int | None = None  # pinned memory beside a CUDA device
    disk: int = 20 * 2**30


@dataclass(frozen=True)
class Execution:
    """Handed from the command line to `execute`, in whatever process that is; no part of a run's identity."""

    device: torch.device
    cache_features: Literal["auto", "on", "off"] = "auto"
    cache_limits: CacheLimits = CacheLimits()
    cache_folder: Path | None = None  # of files shared by processes; without one, nothing goes to disk
    compile: Literal["off", "kernels", "graphs"] = "off"  # recorded, since it may change last digits
