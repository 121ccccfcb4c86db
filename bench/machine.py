"""How much memory there is: of a device, or of this machine within the limits that a container or Slurm has set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

__all__ = ["cores", "memory_of"]

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_of(device: torch.device) -> int:
    """Return the bytes of memory, used or not, that this process may have."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits(GROUPS, OWN)])


def _limits(groups: Path, own: Path) -> Iterator[int]:
    """Yield limits of this process's control groups, of both versions; those above a group bind it too."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for controllers, path in (line.split(":", 2)[1:] for line in lines):
        root, name = (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        if controllers and "memory" not in controllers.split(","):
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                yield from _number(folder / name)


def _number(file: Path) -> Iterator[int]:
    """Yield what the file says; nothing where it is not there, or says "max"."""
    try:
        yield int(file.read_text())
    except (OSError, ValueError):
        return
