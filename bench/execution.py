"""How runs are carried out: where, and with which caches. Nothing here changes what a run is or what it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Execution", "Keep"]


@dataclass(frozen=True)
class Keep:
    """What is kept beside the record (`results.KEPT`), below the folder of results; bench/keep.py does it."""

    kinds: frozenset[str] = frozenset()
    root: Path = Path()


@dataclass(frozen=True)
class Execution:
    """Handed from the command line to `execute`, in whatever process that is; no part of a run's identity."""

    device: torch.device
    keep: Keep = Keep()
