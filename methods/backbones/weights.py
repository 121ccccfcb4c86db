"""Weight files read without pickles, and fitted to a network only when every tensor has its place and shape."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from timm.layers import resample_abs_pos_embed
from timm.models import SwinTransformer, VisionTransformer
from timm.models.swin_transformer import checkpoint_filter_fn
from torch import Tensor

from methods.backbones.google import is_google, to_timm
from methods.backbones.wrappings import Several, foreign, kind_of, not_weights, unwrapped, within

__all__ = ["WeightsError", "fit", "read"]

logger = logging.getLogger(__name__)

HEADS = ("head.", "head_dist.", "pre_logits.", "fc.")  # classifiers of the pre-training task


class WeightsError(Exception):
    """Weights that cannot be used; the message names the file and says what is wrong."""


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a Google `.npz`, a `.safetensors` or a file of torch, told apart by content, by timm's names."""
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
        return READERS[kind](path)
    except Exception as error:  # the readers raise nearly anything on bytes of any origin
        if type(error).__name__ == "UnpicklingError":  # torch refuses anything but tensors with this one
            raise WeightsError(
                f"{path}: holds something other than tensors and is not loaded; where you trust it, save its "
                "state_dict alone with torch.save"
            ) from error
        reason = _first_line(error)
        if isinstance(error, Several):
            raise WeightsError(f"{path}: {reason}") from error
        raise WeightsError(
            f"{path}: truncated, or not a {path.suffix} file of weights ({reason}); download it anew"
        ) from error


def fit(vit: VisionTransformer | SwinTransformer, tensors: Mapping[str, Tensor], name: str) -> None:
    """Load `tensors` into the network, without their head; log one line on what was taken, resized and dropped.

    Raises WeightsError when a tensor is missing, left over or of another shape.
    """
    if isinstance(vit, SwinTransformer):
        tensors = checkpoint_filter_fn(dict(tensors), vit)  # the authors' files have other names and buffers
    wanted = {key: value for key, value in vit.state_dict().items() if not key.startswith(HEADS)}
    dropped = sorted(key for key in tensors if key.startswith(HEADS) and key not in wanted)
    given = {key: value.float() for key, value in tensors.items() if key not in dropped}
    missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
    if missing or extra:
        difference = _some("lacks", missing) + _some("has unknown", extra)
        why = foreign(extra)
        raise WeightsError(f"{name}: not this network: {difference.rstrip('; ')}" + (f"; it {why}" if why else ""))
    resized = _resize_positions(vit, given)
    for key, value in wanted.items():
        if value.shape != given[key].shape:
            raise WeightsError(f"{name}: {key} is {list(given[key].shape)}, the network wants {list(value.shape)}")
    if bad := [key for key, value in given.items() if not torch.isfinite(value).all()]:
        raise WeightsError(f"{name}: {bad[0]} holds values that are not finite")
    vit.load_state_dict(given, strict=False)
    logger.info("%s: %d tensors%s; dropped: %s", name, len(given), resized, ", ".join(dropped) or "nothing")


def _resize_positions(vit: VisionTransformer | SwinTransformer, given: dict[str, Tensor]) -> str:
    """Interpolate the position table in `given` if the resolution differs; what was done, for the log."""
    table = getattr(vit, "pos_embed", None)  # Swin has a bias by relative position instead
    if table is None or given["pos_embed"].ndim != 3 or given["pos_embed"].shape[1] == table.shape[1]:
        return ""
    size, prefix, before = list(vit.patch_embed.grid_size), vit.num_prefix_tokens, given["pos_embed"].shape[1]
    if before <= prefix or math.isqrt(before - prefix) ** 2 != before - prefix:
        return ""  # no square grid: the comparison of shapes names it
    given["pos_embed"] = resample_abs_pos_embed(
        given["pos_embed"], size, num_prefix_tokens=prefix, interpolation="bilinear", antialias=False
    )
    return f", positions resized from {before} to {table.shape[1]}"


def _npz(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {key: torch.from_numpy(archive[key]) for key in archive.files}
    return to_timm(arrays) if is_google(arrays) else arrays


def _torch(path: Path) -> dict[str, Tensor]:
    with torch.serialization.safe_globals([argparse.Namespace]):  # options of the training, which hold values only
        content = unwrapped(torch.load(path, map_location="cpu", weights_only=True))
    if not isinstance(content, dict) or not content:
        raise ValueError("no table of tensors in it")
    if not all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        raise ValueError("its table holds more than tensors")
    return _own(content)


def _safetensors(path: Path) -> dict[str, Tensor]:
    return _own(safetensors.torch.load_file(path))


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own tensors; one line is logged where they were wrapped."""
    own, prefix = within(tensors)
    if prefix:
        logger.info("taken from below %r; left out: %d tensors beside it", prefix, len(tensors) - len(own))
    return own


READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {"npz": _npz, "torch": _torch, "safetensors": _safetensors}
ENDINGS = {".npz": "npz", ".safetensors": "safetensors", ".pth": "torch", ".pt": "torch", ".bin": "torch"}
ENDINGS |= {".tar": "torch", ".ckpt": "torch"}


def _some(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{what} {', '.join(names[:2])}{more}; " if names else ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
