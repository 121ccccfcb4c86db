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
from timm.layers import LayerScale, Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from methods.backbones.chain import Vit
from methods.parts.requirements import PRE_NORM

__all__ = ["Kept", "chain_kept", "is_plain", "narrow_block", "narrow_norm"]

Importance = Callable[[nn.Parameter], Tensor]  # of each scalar of a weight, in the weight's shape


@dataclass(frozen=True)
class Kept:
    """Lists the channels that the narrow copy of a block keeps of the original, each ascending."""

    read: Tensor  # of the block's input
    attended: Tensor  # of queries, keys and values alike, over all heads together
    between: Tensor  # of the output of attention
    hidden: Tensor  # of the MLP's hidden layer
    written: Tensor  # of the block's output; the next block reads them


def chain_kept(vit: Vit, reduction: int, importance: Importance = lambda weight: weight) -> list[Kept]:
    """Choose what to keep of each block, one of `reduction` channels; by default large weights are important.

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
    """Return whether a block is norm, qkv, projection, norm and an MLP's two layers, perhaps scaled, no more."""
    kinds = (nn.LayerNorm, nn.Linear, nn.Linear) * 2
    layers = [module for module in block.modules() if hasattr(module, "weight")]
    alike = len(layers) == len(kinds) and all(map(isinstance, layers, kinds))
    return isinstance(block, PRE_NORM) and isinstance(block.mlp, Mlp) and alike


def narrow_block(source: nn.Module, kept: Kept) -> Block:
    """Make a plain block that computes on the kept channels; its heads, as many as before, take the kept rows in turn.

    Positions that the original's attention is given (rotary ones, or a bias) are no part of it: the tokens that a side
    network reads have passed the original, which knows them.
    """
    width = len(kept.read)
    bias, scales = _bias(source.attn), _scales(source)
    block = Block(
        width,
        source.attn.num_heads,
        mlp_ratio=Fraction(len(kept.hidden), width),  # gives whole channels, whatever the ratio
        qkv_bias=bias is not None,
        proj_bias=source.attn.proj.bias is not None,
        norm_layer=partial(nn.LayerNorm, eps=source.norm1.eps),
        act_layer=type(source.mlp.act),
        init_values=None if scales is None else 1.0,
    )
    stacked = torch.cat([kept.attended + i * len(source.attn.proj.weight) for i in range(3)])
    _copy(block.norm1, source.norm1, kept.read)
    _copy(block.attn.qkv, source.attn.qkv, stacked, kept.read)
    if bias is not None:
        block.attn.qkv.bias.data.copy_(bias[stacked])
    _copy(block.attn.proj, source.attn.proj, kept.between, kept.attended)
    _copy(block.norm2, source.norm2, kept.between)
    _copy(block.mlp.fc1, source.mlp.fc1, kept.hidden, kept.between)
    _copy(block.mlp.fc2, source.mlp.fc2, kept.written, kept.hidden)
    if scales is not None:
        block.ls1.gamma.data.copy_(scales[0][kept.between])
        block.ls2.gamma.data.copy_(scales[1][kept.written])
    return block


def narrow_norm(source: nn.LayerNorm, rows: Tensor) -> nn.LayerNorm:
    """Make a new norm of the kept channels."""
    norm = nn.LayerNorm(len(rows), source.eps)
    _copy(norm, source, rows)
    return norm


@torch.no_grad()
def _copy(target: nn.Module, source: nn.Module, rows: Tensor, columns: Tensor | None = None) -> None:
    """Copy the kept rows (and columns) of a weight, and the kept rows of its bias if it has one."""
    weight = source.weight[rows]
    target.weight.copy_(weight if columns is None else weight[:, columns])
    if source.bias is not None:
        target.bias.copy_(source.bias[rows])


def _bias(attention: nn.Module) -> Tensor | None:
    """Return the bias of the projection to queries, keys and values; some layers keep two of the three parts apart."""
    if getattr(attention, "q_bias", None) is not None:
        return torch.cat([attention.q_bias, attention.k_bias, attention.v_bias])
    return attention.qkv.bias


def _scales(block: nn.Module) -> tuple[Tensor, Tensor] | None:
    """Return the factors of the two halves (D), where the block scales them."""
    if isinstance(getattr(block, "ls1", None), LayerScale):
        return block.ls1.gamma, block.ls2.gamma
    first, second = getattr(block, "gamma_1", None), getattr(block, "gamma_2", None)
    if first is None:
        return None
    return first, torch.ones_like(first) if second is None else second


@torch.no_grad()
def _largest(importance: Tensor, reduction: int) -> Tensor:
    """Return the rows to keep; in float64, since a product of three squared gradients underflows in float32."""
    scores = importance.double().abs().sum(dim=1)
    pruned = round((1 - 1 / reduction) * len(scores))
    return scores.argsort(stable=True)[pruned:].sort().values
