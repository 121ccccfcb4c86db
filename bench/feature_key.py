"""What the frozen states of a split depend on: weights, images, and the code and kernels that make one of the other."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

from bench.features import Key
from bench.recent import pixels_of
from bench.run import Run
from bench.streamed import Streamed
from datasets.base import Split

__all__ = ["key_of"]

ROOT = Path(__file__).resolve().parent.parent
CODE = ("bench/autocast.py", "bench/data.py", "datasets/decoding.py", "datasets/preprocessing.py", "methods/*.py")
PACKAGES = ("torch", "timm", "pillow")


def key_of(run: Run, name: str, split: Split | Streamed, device: torch.device) -> Key:
    """Of the states of the split of that name. How a run is compiled is no part: states are computed without."""
    backbone, recipe = run.backbone, run.recipe
    drawn = "as timm has them" if backbone.weights is not None else f"seed {run.seed}"
    labels = hashlib.sha256(split.labels.cpu().numpy().tobytes()).hexdigest()[:8]  # of the images that are left
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}"
    versions = " ".join(version(package) for package in PACKAGES)
    numerics = recipe.precision, recipe.attention, place, versions, str(backbone.statistics), _code()
    data = *pixels_of(run, name), labels
    return Key(backbone.name, backbone.digest() or drawn, data, numerics, bool(run.task.revision), run.task.source)


@cache
def _code() -> str:
    """Eight digits that change with the code that makes states of an image."""
    files = [file for pattern in CODE for file in sorted(ROOT.glob(pattern))]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]
