"""Recognises a weight file by its first bytes, and the network in it by its names, whatever they are wrapped in."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

__all__ = ["Several", "foreign", "kind_of", "not_weights", "unwrapped", "within"]

ANCHOR = "patch_embed.proj.weight"  # every network read here has it, once
TABLES = ("state_dict", "model", "model_state_dict", "teacher", "target_encoder", "encoder", "module", "net", "weights")
TABLES += ("state_dict_ema", "model_ema", "ema", "student")
FOLLOWERS = ("momentum", "student", "ema", "predictor", "decoder")  # of two networks in a file, not the one to take
PRE_TRAINING = ("mask_token", "decoder_", "decoder.")  # parts of MAE that no downstream network has
FOREIGN = {  # parts of names, and what the file is then
    "encoder.layer.": "has the names of transformers' ViTModel; take timm's file of the same checkpoint",
    "visual.": "is a CLIP model with its text encoder; take timm's file of its image tower",
    "encoder_layer_": "has torchvision's names; take timm's file of a like checkpoint",
    "layers.0.ln1.": "has the names of mmpretrain; take timm's file of the same checkpoint",
    "fc_norm.": "was fine-tuned with mean pooling (fc_norm in place of norm); take the pre-trained file, before that",
    "reg_token": "has register tokens, which the network of this row has not",
    "ls1.gamma": "scales its layers (DINOv2, BEiT, DeiT III), which the network of this row does not",
    "gamma_1": "scales its layers (DINOv2, BEiT, DeiT III), which the network of this row does not",
    "lora_": "holds adapted weights; merge them into the backbone first",
}


class Several(ValueError):
    """The file holds several networks, and none of them is the one to take."""


def kind_of(path: Path) -> str | None:
    """The kind that the first bytes show: "npz", "torch", "safetensors", or None where they show none."""
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(path) as archive:
                return "npz" if any(name.endswith(".npy") for name in archive.namelist()) else "torch"
        except zipfile.BadZipFile:
            return None
    if start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "torch"  # a bare pickle, as torch wrote before 1.6
    return "safetensors" if start[8:9] == b"{" else None


def not_weights(path: Path) -> str | None:
    """What a file is that holds no weights at all, and the remedy; None where it may hold some."""
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer and not the file itself; run git lfs pull where it came from, or download it anew"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "is a web page and not a weight file; download it anew, past any page that asks to confirm"
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        return "is a compressed archive; unpack it, and name the file inside"
    if start.startswith(b"\x89HDF"):
        return "is an HDF5 file of Keras; take the same checkpoint as .npz or .safetensors"
    if start.lstrip().startswith(b"{") and kind_of(path) is None:
        return "is a text file, perhaps the configuration of a checkpoint; name the file with the weights beside it"
    return None


def unwrapped(content: Any) -> Any:
    """The innermost table of a training checkpoint, whatever lies around it."""
    for _ in range(5):
        if not isinstance(content, dict):
            return content
        inner = next((content[key] for key in TABLES if isinstance(content.get(key), dict)), None)
        if inner is None:
            return content
        content = inner
    return content


def within(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """The tensors of the one network, by its own names, and the prefix that they had.

    Raises Several where the file holds several networks and none is the one to take.
    """
    prefixes = [key.removesuffix(ANCHOR) for key in tensors if key == ANCHOR or key.endswith(f".{ANCHOR}")]
    leading = [prefix for prefix in prefixes if not any(word in prefix for word in FOLLOWERS)] or prefixes
    if len(leading) > 1:
        raise Several(f"it holds {len(leading)} networks ({', '.join(leading)}); save the state_dict of one alone")
    prefix = leading[0] if leading else ""
    own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return {key: value for key, value in own.items() if not key.startswith(PRE_TRAINING)}, prefix


def foreign(names: list[str]) -> str | None:
    """What names that the network has not say about their file."""
    return next((words for part, words in FOREIGN.items() if any(part in name for name in names)), None)
