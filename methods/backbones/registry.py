"""Backbones: rows that say which network, which weights and which input; `load` gives timm's model, frozen."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Literal

import timm
import torch
from timm.layers import DropPath
from timm.models import SwinTransformer, VisionTransformer
from torch import nn

from methods.backbones.chain import chain_of
from methods.backbones.downloads import FAILURES, reason_of, remedy_of
from methods.backbones.normalisation import HALF, Statistics, of_file
from methods.backbones.weights import WeightsError, fit, read
from methods.spec import closest

__all__ = ["BACKBONES", "Backbone", "absolute", "find", "prepare"]

EMBEDDED = Path(__file__).parent.parent / "weights" / "demo.safetensors"
ARCHITECTURES = {  # networks that timm has no name for
    "demo": {"img_size": 32, "patch_size": 8, "embed_dim": 96, "depth": 12, "num_heads": 3},
}
MODULES = ("vision_transformer", "swin_transformer", "deit")  # of timm


@dataclass(frozen=True)
class Backbone:
    """A network and where its weights come from: "timm" (by tag, from the hub), a file, or None for random ones."""

    name: str
    architecture: str
    weights: Path | Literal["timm"] | None
    note: str
    normalise: Statistics | None = None  # as the user asks for it, of a local file

    def load(self) -> VisionTransformer | SwinTransformer:
        """The unmodified model with every parameter frozen and no head, in evaluation mode.

        Raises WeightsError, naming the file and what is wrong with it, when the weights cannot be had.
        """
        vit = self._download() if self.weights == "timm" else build(self.architecture)
        if isinstance(self.weights, Path):
            fit(vit, read(self.weights), self.weights.name)
        return vit.requires_grad_(False).eval()

    def skeleton(self) -> VisionTransformer | SwinTransformer:
        """The same network without weights, on the meta device: its shapes alone, made in milliseconds."""
        with torch.device("meta"):
            return build(self.architecture).requires_grad_(False)

    def digest(self) -> str | None:
        """Eight hexadecimal digits of the content of the weight file, or None where there is no file."""
        return _digest(self.weights) if isinstance(self.weights, Path) else None

    @cached_property
    def image_size(self) -> int:
        """Input side in pixels."""
        return int(self.skeleton().patch_embed.img_size[0])

    @cached_property
    def family(self) -> Literal["vit", "swin"]:
        """The kind of network, by which recipes tell backbones apart."""
        return "swin" if isinstance(self.skeleton(), SwinTransformer) else "vit"

    @property
    def statistics(self) -> Statistics:
        """Mean and standard deviation of the inputs (in [0, 1]) the checkpoint was trained with, per channel.

        Raises WeightsError for a local file of which they cannot be known.
        """
        return self._known()[0]

    @property
    def statistics_source(self) -> str:
        """Where the statistics are from, in words."""
        return self._known()[1]

    def other_statistics(self) -> Statistics | None:
        """Those of a local file where they are not the ones of its row, which its name does not say then."""
        if not isinstance(self.weights, Path) or self.weights == EMBEDDED:
            return None
        own = self.statistics
        return None if own == self.row_statistics else own

    def _known(self) -> tuple[Statistics, str]:
        if self.normalise is not None:
            return self.normalise, "--normalise"
        if not isinstance(self.weights, Path) or self.architecture in ARCHITECTURES:
            return self.row_statistics, "the checkpoint"
        if (found := of_file(self.weights)) is not None:
            return found
        if self.name in BACKBONES:  # the user has said which checkpoint it is, by its full name
            return self.row_statistics, f"the name {self.name}"
        raise WeightsError(
            f"{self.weights.name} does not say how its images were normalised; write --normalise imagenet (MAE, DINO, "
            f"DeiT), --normalise half (Google's and AugReg), or MEAN/STD"
        )

    @property
    def row_statistics(self) -> Statistics:
        """Those of the checkpoint that the row names, whatever the weights are."""
        if self.architecture in ARCHITECTURES:
            return HALF
        settings = timm.get_pretrained_cfg(self.architecture if self.weights is None else self.name)
        return (settings.mean, settings.std) if settings else HALF

    def _download(self) -> VisionTransformer | SwinTransformer:
        try:
            return timm.create_model(self.name, pretrained=True, num_classes=0)
        except FAILURES as error:
            raise WeightsError(
                f"the weights of {self.name} could not be fetched ({reason_of(error)}); {remedy_of(error)}; or give"
                f" a local file with --backbone {self.name}=FILE, take the embedded --backbone demo, "
                f"or random weights with --backbone random:{self.architecture}"
            ) from error


def build(architecture: str) -> VisionTransformer | SwinTransformer:
    """The network with random weights and no head; raises ValueError when timm has no such vision transformer."""
    if architecture in ARCHITECTURES:
        return VisionTransformer(**ARCHITECTURES[architecture], num_classes=0)
    known = {name for module in MODULES for name in timm.list_models(module=module)}
    if architecture not in known:
        names = known | ARCHITECTURES.keys()
        raise ValueError(f"no architecture {architecture!r}; {_shorten(closest(architecture, names))}")
    vit = timm.create_model(architecture, num_classes=0)
    kind = isinstance(vit, VisionTransformer | SwinTransformer) and not hasattr(vit, "dist_token")  # a second head
    if not kind or not all(hasattr(link.block, "mlp") for link in chain_of(vit)):
        raise ValueError(f"{architecture} is no plain or Swin transformer with attention and then an MLP in each block")
    return vit


def find(text: str) -> Backbone:
    """The backbone that `text` names: a row, "NAME=FILE", an architecture of a row, or "random:ARCHITECTURE"."""
    if text.startswith("random:"):
        architecture = text.removeprefix("random:")
        return Backbone(text, architecture, None, "random weights, for cost work")
    name, equals, file = text.partition("=")
    rows = [row for row in BACKBONES.values() if name in (row.name, row.architecture)]
    if not rows:
        raise ValueError(f"no backbone {name!r}; {closest(name, [*BACKBONES, 'random:ARCHITECTURE'])}")
    if not equals:
        return rows[0]
    return Backbone(name, rows[0].architecture, local_path(file), "local file")


def absolute(text: str) -> str:
    """The same words with the file of "NAME=FILE" as an absolute path, so that they mean it in every folder."""
    name, equals, file = text.partition("=")
    return f"{name}={local_path(file).absolute()}" if equals and not text.startswith("random:") else text


def local_path(text: str) -> Path:
    """The path with the home in place of ~; raises ValueError where there is no such home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home for {text}; write the path without ~") from error


def prepare(
    vit: VisionTransformer | SwinTransformer, classes: int, head: str, drop_path: float, dropout: float
) -> VisionTransformer | SwinTransformer:
    """Give a loaded model its fresh head and the recipe's regularisation; `head` names the initialisation."""
    vit.reset_classifier(classes)
    _initialise(vit.get_classifier(), head)
    _regularise(vit, drop_path, dropout)
    return vit


@torch.no_grad()
def _initialise(head: nn.Linear, how: str) -> None:
    """`linear`: PyTorch's default (PETL-ViT). `normal`: NOAH, DTL. `prior`: VPT, bias at a prior of 0.01."""
    if how == "linear":
        head.reset_parameters()
    elif how == "normal":
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
    else:
        nn.init.kaiming_normal_(head.weight, a=0, mode="fan_out")
        nn.init.constant_(head.bias, -math.log(99))


def _regularise(vit: VisionTransformer | SwinTransformer, drop_path: float, dropout: float) -> None:
    """Stochastic depth rising linearly from 0 at block 1; dropout after the embedding and both MLP layers (VPT)."""
    blocks = [link.block for link in chain_of(vit)]
    for i, block in enumerate(blocks):
        rate = drop_path * i / max(1, len(blocks) - 1)
        for branch in ("drop_path1", "drop_path2"):
            setattr(block, branch, DropPath(rate) if rate else nn.Identity())
        block.mlp.drop1.p = block.mlp.drop2.p = dropout
    if isinstance(vit, VisionTransformer):  # Swin has no dropout after its embedding
        vit.pos_drop.p = dropout


@cache
def _digest(path: Path) -> str:
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


def _shorten(text: str, limit: int = 400) -> str:
    return text if len(text) <= limit else text[:limit] + ", …"


_ROWS = [
    Backbone("demo", "demo", EMBEDDED, "embedded: 12 blocks of width 96, 32 px, pre-trained on formulas"),
    Backbone("vit_base_patch16_224.orig_in21k", "vit_base_patch16_224", "timm", "ImageNet-21k, of most PETL tables"),
    Backbone("vit_base_patch16_224.augreg_in21k", "vit_base_patch16_224", "timm", "ImageNet-21k, AugReg: SSF's rows"),
    Backbone("vit_base_patch16_224.orig_in21k_ft_in1k", "vit_base_patch16_224", "timm", "21k, then ImageNet-1k"),
    Backbone("vit_base_patch16_224.augreg_in21k_ft_in1k", "vit_base_patch16_224", "timm", "AugReg 21k, then 1k"),
    Backbone("vit_base_patch16_224.augreg_in1k", "vit_base_patch16_224", "timm", "ImageNet-1k, AugReg"),
    Backbone("swin_base_patch4_window7_224.ms_in22k", "swin_base_patch4_window7_224", "timm", "Swin-B, ImageNet-22k"),
]
BACKBONES = {row.name: row for row in _ROWS}
