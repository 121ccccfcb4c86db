"""Which crew does a grid on this machine: how many worker processes, on which devices, with how many threads."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from bench.crew import Alone, Crew
from bench.errors import WrongCall
from bench.execution import Execution
from bench.request import Request
from bench.sent import words_of
from bench.workers import Workers

__all__ = ["crew_of", "workers_of"]


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
    hows = [dataclasses.replace(how, device=_device(how.device, place)) for place in range(count)]
    return Workers(root, hows, max(1, torch.get_num_threads() // count), words_of(request))


def _device(device: torch.device, place: int) -> torch.device:
    """One GPU after another; a CPU is shared."""
    return device if device.type == "cpu" else torch.device("cuda", place % torch.cuda.device_count())
