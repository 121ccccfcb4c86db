"""A vision transformer, plain or hierarchical (Swin), as the chain of its blocks: one loop serves both."""

from __future__ import annotations

from dataclasses import dataclass

from timm.models import SwinTransformer, VisionTransformer
from torch import Tensor, nn

from methods.steps import embed

__all__ = ["Link", "chain_of", "enter"]


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


def enter(vit: VisionTransformer | SwinTransformer, images: Tensor) -> Tensor:
    """Images to what block 1 reads: tokens (B×N×D), or a map of them (B×H×W×D) in a hierarchical network."""
    return vit.patch_embed(images) if isinstance(vit, SwinTransformer) else embed(vit, images)
