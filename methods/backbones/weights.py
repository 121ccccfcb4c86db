"""Weight files are read without pickles, renamed by timm's own filters, and loaded only where every tensor fits."""

from __future__ import annotations

import io
import logging
import math
import sys
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import safetensors.torch
import timm
import torch
from timm.models import VisionTransformer
from torch import Tensor

from methods.backbones.chain import Vit
from methods.backbones.layouts import (
    ANCHOR,
    Several,
    described,
    foreign,
    is_google,
    kind_of,
    not_weights,
    own_tensors,
    unwrapped,
)

__all__ = ["WeightsError", "load_file"]

logger = logging.getLogger(__name__)

HEADS = ("head.", "head_dist.", "pre_logits.", "fc.", "dino_head.", "proj.")  # classifiers of the pre-training task
PRE_TRAINING = ("mask_token", "decoder", "lm_head.")  # other parts that no downstream network has
ENDINGS = {".npz": "npz", ".safetensors": "safetensors", ".pth": "torch", ".pt": "torch", ".bin": "torch"}
ENDINGS |= {".tar": "torch", ".ckpt": "torch"}


class WeightsError(Exception):
    """Weights that cannot be used; the message names the file and says what is wrong."""


def load_file(vit: Vit, path: Path) -> None:
    """Load a Google `.npz`, a `.safetensors` or a file of torch, told apart by content, into a network without head.

    One line is logged on what was taken, renamed, resized and dropped. Raises WeightsError when the file cannot be read
    or when a tensor is missing, left over or of another shape.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    try:
        if remedy := not_weights(path):
            raise WeightsError(f"{path}: {remedy}")
        kind = kind_of(path) or ENDINGS.get(path.suffix.lower())
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if kind is None:
        raise WeightsError(f"{path}: unknown kind of weight file; known: {', '.join(ENDINGS)}")
    try:
        if kind == "npz":
            _load_npz(vit, path)
        else:
            _fit(vit, *_read(path, kind), path.name)
    except WeightsError:
        raise
    except Exception as error:  # the readers raise nearly anything on bytes of any origin
        raise WeightsError(f"{path}: {_why(error, path)}") from error


def _read(path: Path, kind: str) -> tuple[dict[str, Tensor], str]:
    """Return the tensors of the one network in the file, and what was done to have them."""
    if kind == "safetensors":
        content = safetensors.torch.load_file(path)
    else:
        try:
            content = timm.models.load_state_dict(str(path))
        except (AttributeError, TypeError) as error:
            raise ValueError("no table of tensors in it") from error
    content = unwrapped(content)
    if not isinstance(content, dict) or not content:
        raise ValueError("no table of tensors in it")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        raise ValueError("its table holds more than tensors")
    return own_tensors(timm.models.clean_state_dict(content))


def _fit(vit: Vit, tensors: Mapping[str, Tensor], done: str, name: str) -> None:
    """Load tensors, without their head, where each has its place and shape in the network."""
    plain = {key: value for key, value in tensors.items() if not key.startswith("decoder")}
    if resized := _positions(vit, plain, name):
        done += f", {resized}"
    given = _filtered(vit, plain, name)
    wanted = {key: value for key, value in vit.state_dict().items() if not key.startswith(HEADS)}
    dropped = sorted(key for key in {**tensors, **given} if key not in wanted and key.startswith(HEADS + PRE_TRAINING))
    given = {key: value.float() for key, value in given.items() if key not in dropped}
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    odd = [key for key, value in wanted.items() if key in given and value.shape != given[key].shape]
    if missing or extra or odd:
        difference = _some("lacks", missing) + _some("has unknown", extra)
        for key in odd[:1]:
            difference += f"{key} is {list(given[key].shape)}, the network wants {list(wanted[key].shape)}; "
        seen = plain if ANCHOR in plain else given  # as the file has them, where they have timm's names
        raise WeightsError(f"{name}: not this network: {difference.rstrip('; ')}{_instead(vit, seen, extra)}")
    if bad := [key for key, value in given.items() if not torch.isfinite(value).all()]:
        raise WeightsError(f"{name}: {bad[0]} holds values that are not finite")
    vit.load_state_dict(given, strict=False)  # the head alone is missing
    logger.info("%s: %d tensors%s; dropped: %s", name, len(given), done, _several(dropped) or "nothing")


def _filtered(vit: Vit, tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """Return the tensors by the names and in the shapes of timm's network, by the filter that timm has for it."""
    module = sys.modules[type(vit).__module__]
    options = {"adapt_layer_scale": True} if isinstance(vit, VisionTransformer) else {}
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):  # they say what is no news
            return module.checkpoint_filter_fn(dict(tensors), vit, **options)  # type: ignore[no-any-return]
    except Exception as error:  # the filters take much for granted
        why = _instead(vit, tensors, list(tensors)) or f" ({_first_line(error)})"
        raise WeightsError(f"{name}: not this network{why}") from error


def _positions(vit: Vit, tensors: Mapping[str, Tensor], name: str) -> str:
    """Return what timm's filter will do to the table of positions, in words; raises WeightsError where it could not."""
    table, given = getattr(vit, "pos_embed", None), tensors.get("pos_embed")
    patches = tensors.get("patch_embed.proj.weight")
    if patches is not None and patches.ndim == 4 and patches.shape[2:] != vit.patch_embed.proj.weight.shape[2:]:
        raise WeightsError(f"{name}: not this network{_instead(vit, tensors, [])}")  # timm would stretch them
    if table is None or given is None or given.shape == table.shape:
        return ""
    tokens = given.shape[1] if given.ndim == 3 else 0
    prefixes = {0, 1, vit.num_prefix_tokens}
    if tokens < 2 or not any(math.isqrt(max(0, tokens - prefix)) ** 2 == tokens - prefix for prefix in prefixes):
        sizes = f"pos_embed is {list(given.shape)}, the network wants {list(table.shape)}"
        raise WeightsError(f"{name}: not this network: {sizes}")
    return f"positions resized from {tokens} to {table.shape[1]}" if given.shape[2] == table.shape[2] else ""


def _load_npz(vit: Vit, path: Path) -> None:
    """Arrays in Google's layout by timm's own loader, which is held to fill every parameter; others by their names."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    if not is_google(arrays):
        return _fit(vit, {key: torch.from_numpy(array) for key, array in arrays.items()}, "", path.name)
    file_is, wanted = described(arrays), described(vit.state_dict())
    blocks = {key.split("/encoderblock_")[1].split("/")[0] for key in arrays if "/encoderblock_" in key}
    kernel = next((key for key in arrays if key.endswith("embedding/kernel")), None)
    if kernel is None:
        raise WeightsError(f"{path.name}: not this network: lacks embedding/kernel")
    fits = isinstance(vit, VisionTransformer) and (not blocks or len(blocks) == len(vit.blocks))
    if not fits or arrays[kernel].transpose(3, 2, 0, 1).shape != vit.patch_embed.proj.weight.shape:
        raise WeightsError(f"{path.name}: not this network; it looks like {file_is}, and you asked for {wanted}")
    for parameter in vit.parameters():
        parameter.data.fill_(math.nan)  # so that what the file does not fill is seen
    try:
        vit.load_pretrained(str(path))
    except KeyError as error:
        raise WeightsError(f"{path.name}: not this network: lacks {error.args[0].split(' ')[0]}") from error
    if bad := [key for key, value in vit.named_parameters() if not torch.isfinite(value).all()]:
        raise WeightsError(f"{path.name}: {bad[0]} is missing, or holds values that are not finite")
    names = (key.removeprefix(kernel.removesuffix("embedding/kernel")).replace("/", ".") for key in arrays)
    dropped = sorted(name for name in names if name.startswith(HEADS))
    before = next((array.shape[-2] for key, array in arrays.items() if key.endswith("pos_embedding")), 0)
    after = vit.pos_embed.shape[1]
    done = f", positions resized from {before} to {after}" if before != after else ""
    logger.info("%s: %d tensors%s; dropped: %s", path.name, len(vit.state_dict()), done, _several(dropped) or "nothing")


def _instead(vit: Vit, tensors: Mapping[str, Tensor], extra: list[str]) -> str:
    """Return what the file looks like, where that is not what was asked for."""
    if why := foreign(extra):
        return f"; it {why}"
    file_is, wanted = described(tensors), described(vit.state_dict())
    if file_is is None or file_is == wanted:
        return ""
    return f"; it looks like {file_is}, and you asked for {wanted}"


def _why(error: Exception, path: Path) -> str:
    """Say in one sentence why a file could not be read."""
    if isinstance(error, Several):
        return str(error)
    if isinstance(error.__cause__, UnpicklingError):
        return (
            "holds something other than tensors and is not loaded; where you trust it, save its tensors alone, "
            'torch.save(torch.load(FILE, weights_only=False)["state_dict"], "weights.pth"), or whatever holds them'
        )
    return f"truncated, or not a {path.suffix} file of weights ({_first_line(error)}); download it anew"


def _some(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{what} {', '.join(names[:2])}{more}; " if names else ""


def _several(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
