"""Frozen states by name: what the steps of an unchanged backbone give for an image.

Equal names mean equal numbers, whichever method asks, so what was computed for one serves the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models import VisionTransformer
from torch import Tensor

from methods.steps import steps_of

__all__ = ["EMBEDDED", "IMAGES", "POOLED", "named_steps", "observe", "written"]

IMAGES, EMBEDDED, POOLED = "images", "embedded", "pooled"


def written(block: int) -> str:
    """The name of what a block wrote, counted from 1; before the first one there is the embedding."""
    return f"block {block}" if block else EMBEDDED


def named_steps(vit: VisionTransformer) -> list[str]:
    """The names of what the steps write, in order: all but the head."""
    return [*(written(i) for i in range(len(vit.blocks) + 1)), POOLED]


@torch.no_grad()
def observe(vit: VisionTransformer, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """The states of that names for normalised images (B×3×H×W), who are themselves one of them."""
    states, x, last = {IMAGES: images}, images, set(names) - {IMAGES}
    for name, step in zip(named_steps(vit), steps_of(vit), strict=False):
        if last <= states.keys():
            break
        x = step.run(x)
        if name in last:
            states[name] = x
    return {name: states[name] for name in names}
