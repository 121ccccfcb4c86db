"""Prunes structure: makes a narrow copy of a transformer's blocks that starts from the most important channels.

Source: LST's released routine ("fisher-v2", without residual; docs/methods/lst.md). A chain of kept
channels runs through the layers in forward order; each layer keeps the rows with the largest L1 norm of importance over
the columns kept before it. Deviation: what is kept stays in ascending order, the source has the order of a Python set.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import torch
from timm.layers import Mlp
from timm.models import VisionTransformer
from timm.models.vision_transformer import Block
from torch import Tensor, nn

__all__ = ["Kept", "chain_kept", "is_plain", "narrow_block", "narrow_norm"]

Importance = Callable[[nn.Parameter], Tensor]  # of each scalar of a weight, in the weight's shape


@dataclass(frozen=True)
class Kept:
    """Channels that the narrow copy of a block has of the original, each ascending."""

    read: Tensor  # of the block's input
    attended: Tensor  # of queries, keys and values alike, over all heads together
    between: Tensor  # of the output of attention
    hidden: Tensor  # of the MLP's hidden layer
    written: Tensor  # of the block's output; the next block reads them


def chain_kept(vit: VisionTransformer, reduction: int, importance: Importance = lambda weight: weight) -> list[Kept]:
    """What to keep of each block, one of `reduction` channels; unless told otherwise, large weights are important.

    For Fisher information, `importance` looks up the squared gradients of a weight.
    """
    read = _largest(importance(vit.patch_embed.proj.weight).flatten(1), reduction)
    kept = []
    for block in vit.blocks:
        query, key, value = importance(block.attn.qkv.weight).double()[:, read].chunk(3)
        attended = _largest(query * key * value, reduction)
        between = _largest(importance(block.attn.proj.weight)[:, attended], reduction)
        hidden = _largest(importance(block.mlp.fc1.weight)[:, between], reduction)
        written = _largest(importance(block.mlp.fc2.weight)[:, hidden], reduction)
        kept.append(Kept(read, attended, between, hidden, written))
        read = written
    return kept


def is_plain(block: nn.Module) -> bool:
    """Whether what learns in a block is norm, qkv, projection, norm, and the two layers of an MLP, nothing else."""
    kinds = (nn.LayerNorm, nn.Linear, nn.Linear) * 2
    layers = [module for module in block.modules() if next(module.parameters(recurse=False), None) is not None]
    alike = len(layers) == len(kinds) and all(map(isinstance, layers, kinds))
    return isinstance(block, Block) and isinstance(block.mlp, Mlp) and alike


def narrow_block(source: Block, kept: Kept) -> Block:
    """A new block that computes on the kept channels; its heads, as many as before, take the kept rows in turn."""
    width = len(kept.read)
    block = Block(
        width,
        source.attn.num_heads,
        mlp_ratio=Fraction(len(kept.hidden), width),  # gives whole channels, whatever the ratio
        qkv_bias=source.attn.qkv.bias is not None,
        norm_layer=partial(nn.LayerNorm, eps=source.norm1.eps),
        act_layer=type(source.mlp.act),
    )
    stacked = torch.cat([kept.attended + i * len(source.attn.proj.weight) for i in range(3)])
    _copy(block.norm1, source.norm1, kept.read)
    _copy(block.attn.qkv, source.attn.qkv, stacked, kept.read)
    _copy(block.attn.proj, source.attn.proj, kept.between, kept.attended)
    _copy(block.norm2, source.norm2, kept.between)
    _copy(block.mlp.fc1, source.mlp.fc1, kept.hidden, kept.between)
    _copy(block.mlp.fc2, source.mlp.fc2, kept.written, kept.hidden)
    return block


def narrow_norm(source: nn.LayerNorm, rows: Tensor) -> nn.LayerNorm:
    """A new norm of the kept channels."""
    norm = nn.LayerNorm(len(rows), source.eps)
    _copy(norm, source, rows)
    return norm


@torch.no_grad()
def _copy(target: nn.Module, source: nn.Module, rows: Tensor, columns: Tensor | None = None) -> None:
    """The kept rows (and columns) of a weight, and the kept rows of its bias if it has one."""
    weight = source.weight[rows]
    target.weight.copy_(weight if columns is None else weight[:, columns])
    if source.bias is not None:
        target.bias.copy_(source.bias[rows])


@torch.no_grad()
def _largest(importance: Tensor, reduction: int) -> Tensor:
    """The rows to keep; in float64, since a product of three squared gradients underflows in float32."""
    scores = importance.double().abs().sum(dim=1)
    pruned = round((1 - 1 / reduction) * len(scores))
    return scores.argsort(stable=True)[pruned:].sort().values
