"""Gives frozen states by name: what the steps of an unchanged backbone compute for an image.

Equal names mean equal numbers, whichever method asks, so what was computed for one serves the others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from methods.backbones.chain import Step, Vit, steps_of

__all__ = ["EMBEDDED", "IMAGES", "POOLED", "hidden_states", "named_steps", "read_type", "written"]

IMAGES, EMBEDDED, POOLED = "images", "embedded", "pooled"


def written(step: int) -> str:
    """Return the name of what step `step` wrote: the embedding, 0, or a block of a plain transformer, from 1."""
    return f"step {step}" if step else EMBEDDED


def named_steps(steps: Sequence[Step]) -> list[str]:
    """Return the names of what the steps of a backbone write, in order: all but the head."""
    return [*(written(i) for i in range(len(steps) - 2)), POOLED]


@torch.no_grad()
def hidden_states(vit: Vit, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the states of these names for normalised images (B×3×H×W), which are themselves one of them."""
    steps, wanted = steps_of(vit), set(names)
    states, x = {IMAGES: images}, images
    for name, step in zip(named_steps(steps), steps, strict=False):
        if wanted.issubset(states):  # which torch.compile can follow
            break
        x = step.run(x)
        if name in wanted:
            states[name] = x
    return {name: states[name] for name in names}


def read_type(x: Tensor) -> torch.dtype:
    """Return the number format in which matrix products read `x`: a lower one than its own under autocast."""
    nothing = x.new_empty(0, 0)
    return (nothing @ nothing).dtype
