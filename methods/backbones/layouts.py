"""How weights lie in files that circulate: kinds of files, tables around a network, prefixes, names of other libraries.

What timm's own filters know (OpenAI's and OpenCLIP's names, DINOv2, DINOv3, EVA, BEiT, Swin, DeiT III) is left to them.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "ANCHOR",
    "Several",
    "described",
    "foreign",
    "is_google",
    "kind_of",
    "not_weights",
    "own_tensors",
    "unwrapped",
]

Tensors = Mapping[str, Tensor]
ANCHOR = "patch_embed.proj.weight"  # timm's and most others' names have it, once a network
TABLES = ("state_dict", "model", "model_state_dict", "model_state", "teacher", "target_encoder", "encoder", "module")
TABLES += ("net", "weights", "state_dict_ema", "model_ema", "ema", "student")
FOLLOWERS = ("momentum", "student", "ema", "predictor", "decoder")  # of two networks in a file, not the one to take
FOREIGN = {  # parts of names, and what the file is then
    "encoder_layer_": "has torchvision's names; take timm's file of a like checkpoint",
    "layers.0.ln1.": "has the names of mmpretrain; take timm's file of the same checkpoint",
    "lora_": "holds adapted weights; merge them into the backbone first",
}
SIZES = {  # by width and blocks
    (192, 12): "Ti", (384, 12): "S", (768, 12): "B", (1024, 24): "L", (1152, 27): "So400m", (1280, 32): "H",
    (1408, 40): "g", (1536, 40): "g", (1664, 48): "G",
}  # fmt: skip


class Several(ValueError):
    """The file holds several networks, and none of them is the one to take."""


def kind_of(path: Path) -> str | None:
    """Return the kind that the first bytes show: "npz", "torch", "safetensors", or None where they show none."""
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
    """Return what a file is that holds no weights at all, and the remedy; None where it may hold some."""
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


def is_google(names: Iterable[str]) -> bool:
    """Return whether these are the names of a vision transformer in Google's `.npz` layout."""
    return any(name.endswith("embedding/kernel") or "Transformer/encoder" in name for name in names)


def unwrapped(content: Any) -> Any:
    """Return the innermost table of a training checkpoint, whatever lies around it."""
    for _ in range(5):
        if not isinstance(content, dict):
            return content
        inner = next((content[key] for key in TABLES if isinstance(content.get(key), dict)), None)
        if inner is None:
            return content
        content = inner
    return content


def own_tensors(tensors: Tensors) -> tuple[dict[str, Tensor], str]:
    """Find the tensors of the one image network in the file, by names that timm or its filters know.

    Returns them, and in words what was done.

    Raises Several where the file holds several networks and none is the one to take.
    """
    for anchor, rename in ANCHORS.items():
        prefixes = [key.removesuffix(anchor) for key in tensors if re.search(rf"(^|\.){re.escape(anchor)}$", key)]
        if not prefixes:
            continue
        leading = [prefix for prefix in prefixes if not any(word in prefix for word in FOLLOWERS)] or prefixes
        if len(leading) > 1:
            raise Several(f"it holds {len(leading)} networks ({', '.join(leading)}); save the state_dict of one alone")
        prefix, beside = leading[0], ""
        own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if prefix or rename:
            beside = f" from below {prefix!r}, of {len(tensors)} in the file" if prefix else ""
            beside += f", renamed from {rename}" if rename else ""
        return (_from_transformers(own) if rename == "transformers" else own), beside
    return dict(tensors), ""


ANCHORS = {  # the name of the patch projection, and whose names these are: None where they are timm's
    ANCHOR: None,
    "visual.conv1.weight": "CLIP",  # which timm's filter knows
    "embeddings.patch_embeddings.projection.weight": "transformers",  # ViT, DeiT, DINOv2
    "vision_model.embeddings.patch_embedding.weight": "transformers",  # CLIP, SigLIP
    "embeddings.patch_embedding.weight": "transformers",  # their image towers alone
}

RULES = tuple(
    (re.compile(old), new)
    for old, new in {
        r"^vision_model\.": "",
        r"^embeddings\.(cls_token|class_embedding)$": "cls_token",
        r"^embeddings\.position_embeddings?(\.weight)?$": "pos_embed",
        r"^embeddings\.patch_embeddings\.projection\.": "patch_embed.proj.",
        r"^embeddings\.patch_embedding\.": "patch_embed.proj.",
        r"^embeddings\.(mask_token|register_tokens)$": r"\1",
        r"^pre_layrnorm\.": "norm_pre.",  # as they spell it
        r"^(layernorm|post_layernorm)\.": "norm.",
        r"^encoder\.layers?\.": "blocks.",
        r"\.attention\.attention\.(query|key|value)\.": r".attn.\1.",
        r"\.self_attn\.q_proj\.": ".attn.query.",
        r"\.self_attn\.k_proj\.": ".attn.key.",
        r"\.self_attn\.v_proj\.": ".attn.value.",
        r"\.(attention\.output\.dense|self_attn\.out_proj)\.": ".attn.proj.",
        r"^(blocks\.\d+)\.intermediate\.dense\.": r"\1.mlp.fc1.",
        r"^(blocks\.\d+)\.output\.dense\.": r"\1.mlp.fc2.",
        r"\.mlp\.weights_in\.": ".mlp.fc1.",
        r"\.mlp\.weights_out\.": ".mlp.fc2.",
        r"\.(layernorm_before|layer_norm1)\.": ".norm1.",
        r"\.(layernorm_after|layer_norm2)\.": ".norm2.",
        r"\.layer_scale(\d)\.lambda1$": r".ls\1.gamma",
        r"^head\.probe$": "attn_pool.latent",  # SigLIP's pooling
        r"^head\.attention\.out_proj\.": "attn_pool.proj.",
        r"^head\.attention\.in_proj_": "attn_pool.in_proj.",
        r"^head\.layernorm\.": "attn_pool.norm.",
        r"^head\.mlp\.": "attn_pool.mlp.",
        r"^(classifier|pooler\.dense)\.": "head.",
    }.items()
)


OUTSIDE = ("text_model.", "text_projection.", "visual_projection.", "logit_")  # of CLIP's image tower


def _from_transformers(tensors: Tensors) -> dict[str, Tensor]:
    """Return the names of Hugging Face's transformers as timm's; query, key and value become one layer."""
    named = {_renamed(key): value for key, value in tensors.items() if not key.startswith(OUTSIDE)}
    for key in [key for key in named if ".attn.query." in key]:
        parts = [named.pop(key.replace(".query.", f".{part}.")) for part in ("query", "key", "value")]
        named[key.replace(".query.", ".qkv.")] = torch.cat(parts)
    for key in [key for key in named if key.startswith("attn_pool.in_proj.")]:
        query, *rest = named.pop(key).chunk(3)
        named |= {key.replace("in_proj", "q"): query, key.replace("in_proj", "kv"): torch.cat(rest)}
    for key in {"cls_token", "pos_embed"} & named.keys():
        named[key] = named[key].reshape(1, -1, named[key].shape[-1])
    return {key: value for key, value in named.items() if not key.startswith("embeddings.")}


def _renamed(key: str) -> str:
    for old, new in RULES:
        key = old.sub(new, key)
    return key


def foreign(names: Iterable[str]) -> str | None:
    """Return what a file is that has names which the network has not."""
    known = list(names)
    return next((words for part, words in FOREIGN.items() if any(part in name for name in known)), None)


def described(tensors: Mapping[str, Any]) -> str | None:
    """Say what network these tensors, by timm's names or Google's, look like: "ViT-L/16 at 384 px with LayerScale"."""
    shapes = {key: tuple(value.shape) for key, value in tensors.items()}
    google = next((key for key in shapes if key.endswith("embedding/kernel")), None)
    patch = shapes.get(google or ANCHOR, ())
    if len(patch) != 4:
        return None
    width, side = (patch[3], patch[0]) if google else (patch[0], patch[2])
    if any(key.startswith("layers.") for key in shapes):
        return f"Swin of width {width}"
    blocks = {int(found[1]) for key in shapes if (found := re.search(r"(?:blocks\.|encoderblock_)(\d+)", key))}
    registers = shapes.get("reg_token", (0, 0))[1]
    position = next((shape for key, shape in shapes.items() if re.search(r"pos_embed(ding)?$", key)), (0, 0))
    grid = math.isqrt(max(0, position[-2] if len(position) > 1 else 0))
    resolution = f" at {grid * side} px" if grid and 0 <= position[-2] - grid**2 <= 1 + registers else ""
    marks = {
        "LayerScale": any("ls1.gamma" in key or "gamma_1" in key for key in shapes),
        f"{registers} register tokens": registers > 0,
        "no class token": not {"cls_token", "cls"} & {key.rpartition("/")[2] for key in shapes},
        "a norm before the blocks": "norm_pre.weight" in shapes,
        "attention pooling": any(key.startswith(("attn_pool.", "MAPHead")) for key in shapes),
        "mean pooling (fc_norm in place of norm)": "fc_norm.weight" in shapes,
        "SwiGLU": any("mlp.fc1_g" in key for key in shapes) or _packed(shapes),
        "queries and keys normed": any("attn.q_norm" in key for key in shapes),
    }
    found = [mark for mark, there in marks.items() if there]
    words = f" with {', '.join(found)}" if found else ""
    if (width, len(blocks)) in SIZES:
        return f"ViT-{SIZES[width, len(blocks)]}/{side}{resolution}{words}"
    return f"a ViT of width {width} with {len(blocks)} blocks and patches of {side} pixels{resolution}{words}"


def _packed(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Return whether the first layer of an MLP gives gates and values together."""
    up, down = shapes.get("blocks.0.mlp.fc1.weight"), shapes.get("blocks.0.mlp.fc2.weight")
    return up is not None and down is not None and up[0] == 2 * down[-1]
