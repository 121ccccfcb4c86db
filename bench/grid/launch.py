"""Which crew does a grid on this machine: how many worker processes, on which devices, with how many threads."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch

from bench.errors import WrongCall
from bench.grid.crew import Alone, Crew
from bench.grid.patience import Patience
from bench.grid.request import Request
from bench.grid.sent import words_of
from bench.grid.slurm_options import SlurmOptions
from bench.grid.workers import Workers
from bench.machine import cores
from bench.settings import Execution

__all__ = ["Launch", "crew_of", "workers_of"]


@dataclass(frozen=True)
class Launch:
    """How the runs of a grid are started, as a user words it."""

    workers: int | None = None
    shard: str | None = None
    slurm: SlurmOptions | None = None  # submit to Slurm instead
    device: str = "auto"  # as worded, for nodes that choose their own

    def kind(self, here: torch.device) -> str:
        """Of the device that does the runs: cuda, cpu, or auto where only the node of a job knows."""
        return self.slurm.device(self.device) if self.slurm else here.type


def workers_of(device: torch.device, asked: int | None) -> int:
    """How many runs go on at once: as asked, else one a GPU, or one on a CPU."""
    if asked is not None and asked < 1:
        raise WrongCall(f"--workers {asked} does nothing; give at least 1")
    if asked is not None:
        return asked
    return torch.cuda.device_count() if device.type == "cuda" else 1


def crew_of(request: Request, root: Path, how: Execution, asked: int | None) -> Crew:
    """Worker processes; on a CPU, when no number is asked for, this process alone."""
    if asked is None and how.device.type == "cpu":
        return Alone(root, how)
    count = workers_of(how.device, asked)
    hows = [_share(how, place, count) for place in range(count)]
    threads = max(1, torch.get_num_threads() // count)
    return Workers(root, hows, threads, words_of(request), Patience(seconds=how.patience_seconds))


def _share(how: Execution, place: int, count: int) -> Execution:
    """What one of `count` workers has of the machine: a device, and its part of the cores and of the memory."""
    decoding = max(1, cores() // count) if how.reading.workers is None else how.reading.workers
    return dataclasses.replace(
        how,
        device=_device(how.device, place),
        reading=dataclasses.replace(how.reading, workers=decoding),
        cache_limits=dataclasses.replace(how.cache_limits, processes=count),
    )


def _device(device: torch.device, place: int) -> torch.device:
    """One GPU after another; a CPU is shared."""
    return device if device.type == "cpu" else torch.device("cuda", place % torch.cuda.device_count())
