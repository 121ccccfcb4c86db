"""What the frozen states of a split depend on: weights, images, and the code and kernels that make one of the other."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version

import torch

from bench.data.loader import Streamed
from bench.data.splits import pixels_of
from bench.features.store import Key
from bench.run import Run
from bench.source_digest import states_digest
from datasets.base import Split

__all__ = ["key_of"]

PACKAGES = ("torch", "timm", "pillow")


def key_of(run: Run, name: str, split: Split | Streamed, device: torch.device) -> Key:
    """Return the key of a split's states. How a run is compiled is no part of it: states are computed without."""
    backbone, recipe = run.backbone, run.recipe
    drawn = "as timm has them" if backbone.weights is not None else f"seed {run.seed}"
    labels = hashlib.sha256(split.labels.cpu().numpy().tobytes()).hexdigest()[:8]  # of the images that are left
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}"
    versions = " ".join(version(package) for package in PACKAGES)
    numerics = recipe.precision, recipe.attention, hardware, versions, str(backbone.statistics), states_digest()
    data = *pixels_of(run, name), labels, split.content
    return Key(backbone.name, backbone.digest() or drawn, data, numerics, bool(run.task.revision), run.task.source)
