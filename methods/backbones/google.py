"""Google's `.npz` layout of vision transformers (ViT-B_16.npz), renamed to timm's.

Source: the names and shapes of the arrays in ViT-B_16.npz.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["POSITIONS", "is_google", "to_timm"]

TOP = {
    "cls": "cls_token",
    "embedding/bias": "patch_embed.proj.bias",
    "Transformer/posembed_input/pos_embedding": "pos_embed",
    "Transformer/encoder_norm/scale": "norm.weight",
    "Transformer/encoder_norm/bias": "norm.bias",
}
POSITIONS = "Transformer/posembed_input/pos_embedding"
NEWER_NORMS = {"LayerNorm_0": "norm1", "LayerNorm_1": "norm2"}
NORMS = {"LayerNorm_0": "norm1", "LayerNorm_2": "norm2"}


def is_google(arrays: Mapping[str, Tensor]) -> bool:
    """Whether the names are those of Google's layout."""
    return any(key.endswith(POSITIONS) for key in arrays)


def to_timm(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors by timm's names and in its shapes; the head keeps a name that shows it is one.

    Raises KeyError when a tensor of a block is absent.
    """
    prefix = next(key for key in arrays if key.endswith(POSITIONS)).removesuffix(POSITIONS)  # "params/", "opt/target/"
    arrays = {key.removeprefix(prefix): value for key, value in arrays.items() if key.startswith(prefix)}
    tensors = {new: arrays[old] for old, new in TOP.items()}
    tensors["patch_embed.proj.weight"] = arrays["embedding/kernel"].permute(3, 2, 0, 1)  # HWIO to OIHW
    blocks = {int(found[1]) for key in arrays if (found := re.match(r"Transformer/encoderblock_(\d+)/", key))}
    for i in sorted(blocks):
        tensors |= {f"blocks.{i}.{key}": value for key, value in _block(arrays, i).items()}
    known = {*TOP, "embedding/kernel"}
    rest = {k: v for k, v in arrays.items() if k not in known and not k.startswith("Transformer/encoderblock_")}
    return tensors | {key.replace("/", "."): value for key, value in rest.items()}


def _block(arrays: Mapping[str, Tensor], i: int) -> dict[str, Tensor]:
    """One block: query, key and value stacked in this order, heads flattened, kernels transposed."""
    prefix = f"Transformer/encoderblock_{i}/"
    newer = f"{prefix}MlpBlock_0/Dense_0/kernel" in arrays  # big_vision counts each kind of layer by itself
    attention = prefix + f"MultiHeadDotProductAttention_{0 if newer else 1}/"
    mlp = prefix + f"MlpBlock_{0 if newer else 3}/"
    parts = ("query", "key", "value")
    tensors = {
        "attn.qkv.weight": torch.cat([arrays[f"{attention}{part}/kernel"].flatten(1).T for part in parts]),
        "attn.qkv.bias": torch.cat([arrays[f"{attention}{part}/bias"].flatten() for part in parts]),
        "attn.proj.weight": arrays[attention + "out/kernel"].flatten(0, 1).T,
        "attn.proj.bias": arrays[attention + "out/bias"],
    }
    for j in (0, 1):
        tensors[f"mlp.fc{j + 1}.weight"] = arrays[f"{mlp}Dense_{j}/kernel"].T
        tensors[f"mlp.fc{j + 1}.bias"] = arrays[f"{mlp}Dense_{j}/bias"]
    for old, new in (NEWER_NORMS if newer else NORMS).items():
        tensors[f"{new}.weight"] = arrays[f"{prefix}{old}/scale"]
        tensors[f"{new}.bias"] = arrays[f"{prefix}{old}/bias"]
    return tensors
