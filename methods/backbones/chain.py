"""A vision transformer, plain or hierarchical (Swin), as the chain of its blocks: one loop serves both."""

from __future__ import annotations

from dataclasses import dataclass

from timm.models import SwinTransformer, VisionTransformer
from torch import nn

__all__ = ["Link", "chain_of"]


@dataclass(frozen=True)
class Link:
    """A block with its stage (from 0), its width, and what merges patches before it: None inside a stage."""

    block: nn.Module
    stage: int
    width: int
    merge: nn.Module | None = None


def chain_of(vit: VisionTransformer | SwinTransformer) -> list[Link]:
    """The blocks in order; those of a plain transformer are one stage."""
    if not isinstance(vit, SwinTransformer):
        return [Link(block, 0, vit.embed_dim) for block in vit.blocks]
    return [
        Link(block, number, block.dim, stage.downsample if number and not i else None)
        for number, stage in enumerate(vit.layers)
        for i, block in enumerate(stage.blocks)
    ]
