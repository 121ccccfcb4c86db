"""Lets query tokens read frozen blocks: queries see a block's own tokens, and the tokens never see the queries.

VQT and SynQT read so (docs/methods/vqt.md, docs/methods/synqt.md). With u = LN1(tokens) of a block, head h reads

    plain   softmax(q_h (Wk_h u + bk_h)ᵀ / √d_h) (Wv_h u + bv_h)      keys and values are kept, 2·B×N×D
    lean    softmax((q_h Wk_h) uᵀ / √d_h) u Wv_hᵀ + bv_h              u alone is kept, B×N×D

which are equal: the softmax does not see the key bias, and its rows add up to one. The lean form is used where
attention is fused; the plain one, with the released codes' layers, where it is explicit or where the block learns.
"""

from __future__ import annotations

import torch
from timm.models import VisionTransformer
from timm.models.vision_transformer import Attention
from torch import Tensor, nn
from torch.nn import functional

from methods.states import read_type

__all__ = ["Kept", "first_of", "kept_of", "read", "walk"]

Kept = Tensor | tuple[Tensor, Tensor]  # u (B×N×D), or keys and values (B×heads×N×d_h)


def walk(vit: VisionTransformer, tokens: Tensor, to_the_end: bool = True) -> tuple[Tensor, list[Kept]]:
    """Take embedded tokens through the blocks; the last tokens, and what each block keeps for queries.

    Where nobody reads the last tokens, `to_the_end=False` lets the lean form leave out the last block's update.
    """
    kept: list[Kept] = []
    for i, block in enumerate(vit.blocks, start=1):
        if i == len(vit.blocks) and not to_the_end and _folds(block.attn):
            normed = block.norm1(tokens)
            kept.append(normed.to(kept[-1].dtype) if kept and isinstance(kept[-1], Tensor) else normed)
        else:
            tokens, what = _step(block, tokens)
            kept.append(what)
    return tokens, kept


@torch.no_grad()
def kept_of(block: nn.Module, tokens: Tensor) -> Kept:
    """Return what `walk` keeps of a frozen block that reads these tokens, without running the block on them."""
    attention, normed = block.attn, block.norm1(tokens)
    if not _folds(attention):
        _, key, value = _heads(attention, attention.qkv(normed))
        return key.contiguous(), value.contiguous()
    kind = normed.device.type
    return normed.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else normed


def read(block: nn.Module, queries: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
    """Apply the block to queries (B×n×D); return its output, and what its attention and its MLP added."""
    attended = block.drop_path1(block.ls1(_attend(block.attn, block.norm1(queries), kept)))
    queries = queries + attended
    processed = block.drop_path2(block.ls2(block.mlp(block.norm2(queries))))
    return queries + processed, attended, processed


def first_of(block: nn.Module, tokens: Tensor) -> Tensor:
    """Return the block's output at its first token (B×1×D), without attention and MLP of the others."""
    attention, normed = block.attn, block.norm1(tokens)
    kept: Kept = normed.to(read_type(normed)) if _folds(attention) else _heads(attention, attention.qkv(normed))[1:]
    output, _, _ = read(block, tokens[:, :1], kept)
    return output


def _step(block: nn.Module, tokens: Tensor) -> tuple[Tensor, Kept]:
    """Apply the block to its own tokens, as timm does."""
    mixed, kept = _self_attend(block.attn, block.norm1(tokens))
    tokens = tokens + block.drop_path1(block.ls1(mixed))
    del mixed  # not needed while the MLP is at work
    return tokens + block.drop_path2(block.ls2(block.mlp(block.norm2(tokens)))), kept


def _self_attend(attention: Attention, normed: Tensor) -> tuple[Tensor, Kept]:
    if _folds(attention):
        mixed = attention(normed)
        return mixed, normed.to(mixed.dtype)  # under autocast, in the precision in which products read it
    query, key, value = _heads(attention, attention.qkv(normed))
    if not key.requires_grad:  # views would keep the queries of the tokens as well
        key, value = key.contiguous(), value.contiguous()
    return _project(attention, _mix(attention, query, key, value)), (key, value)


def _attend(attention: Attention, normed: Tensor, kept: Kept) -> Tensor:
    if isinstance(kept, Tensor):
        return _project(attention, _fold(attention, normed, kept))
    query, _, _ = _heads(attention, attention.qkv(normed))  # keys and values of queries are nobody's
    return _project(attention, _mix(attention, query, *kept))


def _fold(attention: Attention, normed: Tensor, tokens: Tensor) -> Tensor:
    """Compute the context (B×heads×n×d_h) of normalised queries (B×n×D) and tokens (B×N×D) in the lean form."""
    heads, size = attention.num_heads, attention.head_dim
    q_weight, k_weight, v_weight = attention.qkv.weight.view(3, heads, size, -1)
    q_bias, _, v_bias = (None,) * 3 if attention.qkv.bias is None else attention.qkv.bias.view(3, -1)
    query = functional.linear(normed, q_weight.flatten(0, 1), q_bias) * attention.scale
    folded = torch.einsum("bnhk,hkd->bhnd", query.unflatten(-1, (heads, size)), k_weight)
    weights = torch.einsum("bhnd,btd->bhnt", folded, tokens).softmax(dim=-1)
    read = torch.einsum("bhnt,btd->bhnd", attention.attn_drop(weights), tokens)
    context = torch.einsum("bhnd,hkd->bhnk", read, v_weight)
    return context if v_bias is None else context + v_bias.view(heads, 1, size)


def _mix(attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Compute the context (B×heads×n×d_h) of queries, keys and values of the same layout."""
    if attention.fused_attn:
        drop = attention.attn_drop.p if attention.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, dropout_p=drop)
    weights = (query * attention.scale @ key.transpose(-2, -1)).softmax(dim=-1)
    return attention.attn_drop(weights) @ value


def _heads(attention: Attention, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split a projection (B×n×3·D) into queries, keys and values (B×heads×n×d_h)."""
    parts = projected.unflatten(-1, (3, attention.num_heads, attention.head_dim))
    query, key, value = parts.permute(2, 0, 3, 1, 4).unbind()
    return attention.q_norm(query), attention.k_norm(key), value


def _project(attention: Attention, context: Tensor) -> Tensor:
    return attention.proj_drop(attention.proj(attention.norm(context.transpose(1, 2).flatten(2))))


def _folds(attention: Attention) -> bool:
    """Return whether the lean form fits: nothing stands between u and the keys, and their weights are frozen."""
    plain_keys = isinstance(attention.k_norm, nn.Identity)
    return attention.fused_attn and plain_keys and not attention.qkv.weight.requires_grad
