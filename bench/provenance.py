"""Where a run happened: code, versions, device. No user name and no path outside the project."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from datasets.suites.folder import split_options
from results import Where

__all__ = ["command", "commit", "last_parts", "where"]

ROOT = Path(__file__).resolve().parent.parent
KEPT_PARTS = 3  # of a path outside the project
PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")


def where(device: torch.device) -> Where:
    """Provenance of a run that ends now on `device`."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    versions = {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}
    head, dirty = commit()
    return Where(now, head, dirty, command(), _device_name(device), _driver(device), versions)


def last_parts(path: Path) -> str:
    """Give the end of a path, by which it is told from others of the same name; no part of it names the user."""
    path = Path(os.path.abspath(path))
    if path.is_relative_to(ROOT):
        return str(path.relative_to(ROOT))
    parts = path.parts[3 if path.parts[1:2] in (("home",), ("Users",)) else 1 :]
    own = [index for index, part in enumerate(parts[:-1], 1) if part == getpass.getuser()]
    return "/".join(parts[own[-1] if own else 0 :][-KEPT_PARTS:])


@cache
def commit() -> tuple[str | None, bool | None]:
    """Return the commit of the checkout and whether the files differ from it; None where there is no git."""
    head = _git("rev-parse", "HEAD")
    return (None, None) if head is None else (head, _git("status", "--porcelain") != "")


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def command() -> str:
    """Return the command line, with paths outside the project cut to their last part."""
    return shlex.join(["python", *_program(), *(_relative(word) for word in sys.argv[1:])])


def _program() -> list[str]:
    """Return a file, or a module where it was called as such: `-m tools.side_by_side`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None and spec.origin == sys.argv[0]:
        return ["-m", spec.name.removesuffix(".__main__")]
    return [Path(sys.argv[0]).name]


def _relative(word: str) -> str:
    kind, colon, rest = word.partition(":")
    if colon and Path(rest).is_absolute():  # folder:/PATH:shots=10:train=DIR
        folder, *options = split_options(rest)
        return ":".join([kind, Path(folder).name, *map(_relative, options)])
    option, equals, value = word.rpartition("=")
    path = Path(value)
    if not path.is_absolute():
        return f"{option}{equals}{path.name}" if path.parts[:1] == ("..",) or value.startswith("~") else word
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name
    return f"{option}{equals}{shown}"


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"cpu ({platform.machine()}, {threads} thread{'s' if threads > 1 else ''})"


@cache
def _driver(device: torch.device) -> str | None:
    """Return the CUDA driver and runtime, or None on a CPU."""
    if device.type != "cuda":
        return None
    try:
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return f"CUDA {torch.version.cuda}"
    return f"{done.stdout.splitlines()[0].strip()}, CUDA {torch.version.cuda}"
