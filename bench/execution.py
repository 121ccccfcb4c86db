"""How runs are carried out: where, and with which caches. Nothing here changes what a run is or what it gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["Execution"]


@dataclass(frozen=True)
class Execution:
    """Handed from the command line to `execute`, in whatever process that is; no part of a run's identity."""

    device: torch.device
    patience_seconds: float = 3600.0  # that a worker may need until its first epoch; then it counts as hung
