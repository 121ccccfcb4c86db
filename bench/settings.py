"""How runs are carried out: where, and with which caches. Nothing here changes what a run is or what it gives."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Literal, Protocol

import torch

from bench.machine import cores
from bench.run import Run

__all__ = ["CacheLimits", "EarlyStop", "Keep", "LoaderSettings", "RunSettings"]


@dataclass(frozen=True)
class Keep:
    """What is kept beside the record (`results.KEPT`), below the results folder; bench/runner/artifacts.py does it."""

    kinds: frozenset[str] = frozenset()
    root: Path = Path()


@dataclass(frozen=True)
class LoaderSettings:
    """How images that lie on disk are read."""

    workers: int | None = None  # processes that decode; one a core if None
    on_bad_image: Literal["fail", "skip"] = "fail"  # what is left out is counted in the record

    @property
    def processes(self) -> int:
        """How many decode."""
        return cores() if self.workers is None else self.workers


@dataclass(frozen=True)
class CacheLimits:
    """Bytes that frozen features may take in each place; None is a quarter of the memory there is, or a share of it."""

    device: int | None = None
    host: int | None = None  # pinned memory beside a CUDA device
    disk: int = 20 * 2**30
    processes: int = 1  # that share this machine, each with a store of its own


class EarlyStop(Protocol):
    """Decides whether a run is worth its remaining epochs (bench/tune/pruning.py)."""

    def was_ended(self, run: Run) -> bool:
        """Return whether that was decided before, so that the run is not to be begun."""

    def ends(self, run: Run, epochs: int, accuracy: float) -> bool:
        """Return whether the run is to end, which scores so much after so many epochs."""


@dataclass(frozen=True)
class RunSettings:
    """Handed from the command line to `execute`, in whatever process that is; no part of a run's identity."""

    device: torch.device
    _: KW_ONLY
    keep: Keep = Keep()
    loader: LoaderSettings = LoaderSettings()
    cache_features: Literal["auto", "on", "off"] = "auto"
    cache_limits: CacheLimits = CacheLimits()
    cache_folder: Path | None = None  # of files shared by processes; without one, nothing goes to disk
    features_since: float = 0.0  # seconds, as of time.time: what was kept on disk before is made anew (--force)
    compile: Literal["off", "kernels"] = "off"  # recorded, since it may change last digits
    stale: Literal["redo", "keep"] = (
        "redo"  # what is done about a record of other settings or code (bench/runner/stale.py)
    )
    log: Literal["off", "tensorboard", "trackio", "wandb"] = "off"  # where runs are watched (bench/runner/tracker.py)
    patience_seconds: float = 3600.0  # that a worker process may say nothing; then it counts as hung
    early_stop: EarlyStop | None = None  # asked after each evaluation before the last
