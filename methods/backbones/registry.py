"""Backbones by name: the papers' rows, any vision transformer of timm, local files; `load` gives timm's model, frozen.

NAME                    a row, or a network of timm with or without the tag of its weights
hf-hub:USER/NAME        a network that someone keeps on the Hugging Face hub in timm's layout
NAME=FILE               the same network with the weights of a local file
random:NAME             the same network with random weights
NAME@224                any of them for images of 224×224 pixels; positions are resized as timm does
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from timm.layers import DropPath
from timm.models import VisionTransformer
from torch import nn

from methods.backbones.chain import HIERARCHICAL, KINDS, Vit, chain_of
from methods.backbones.downloads import FAILURES, reason_of, remedy_of
from methods.backbones.families import FAMILIES
from methods.backbones.normalisation import HALF, Statistics, of_file
from methods.backbones.weights import WeightsError, load_file
from methods.spec import guess

__all__ = ["BACKBONES", "Backbone", "absolute", "build", "find", "listing", "prepare", "resized", "search"]

EMBEDDED = Path(__file__).parent.parent / "weights" / "demo.safetensors"
ARCHITECTURES: dict[str, dict[str, Any]] = {  # networks that timm has no name for; `like` is one it has, changed
    "demo": {"img_size": 32, "patch_size": 8, "embed_dim": 96, "depth": 12, "num_heads": 3},
}
ARCHITECTURES |= {f"tiny {each.title}": {"like": each.architecture, **each.settings} for each in FAMILIES}
MODULES = ("vision_transformer", "deit", "eva", "beit", "swin_transformer", "swin_transformer_v2")  # of timm
HUB = "hf-hub:"
SEE = "see: python bench.py list backbones"


@dataclass(frozen=True)
class Backbone:
    """A network and where its weights come from: "timm" (by tag, from the hub), a file, or None for random ones."""

    name: str
    architecture: str  # as timm builds it; with a tag where the tag was given
    weights: Path | Literal["timm"] | None
    note: str
    normalise: Statistics | None = None  # as the user asks for it, of a local file
    size: int | None = None  # side of the images in pixels, where it is not the network's own; part of the name then

    def load(self) -> Vit:
        """Load the unmodified model with every parameter frozen and no head, in evaluation mode.

        Raises WeightsError, naming the file and what is wrong with it, when the weights cannot be had.
        """
        vit = self._download() if self.weights == "timm" else build(self.architecture, self.size)
        if isinstance(self.weights, Path):
            load_file(vit, self.weights)
        return vit.requires_grad_(False).eval()

    def build_on_meta(self) -> Vit:
        """Build the network without weights, on the meta device: its shapes alone, made in milliseconds."""
        with torch.device("meta"):
            return build(self.architecture, self.size).requires_grad_(False)

    def digest(self) -> str | None:
        """Return eight hexadecimal digits of the content of the weight file, or None where there is no file."""
        return _digest(self.weights) if isinstance(self.weights, Path) else None

    @cached_property
    def image_size(self) -> int:
        """Input side in pixels."""
        return int(self.build_on_meta().patch_embed.img_size[0])

    @cached_property
    def family(self) -> Literal["vit", "swin"]:
        """The kind of network, by which recipes tell backbones apart."""
        return "swin" if isinstance(self.build_on_meta(), HIERARCHICAL) else "vit"

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
        """Return the statistics of a local file if they are not those of its row, which its name does not say then."""
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
        if self.name in BACKBONES or "." in self._plain_name:  # the full name says which checkpoint it is
            return self.row_statistics, f"the name {self._plain_name}"
        raise WeightsError(
            f"{self.weights.name} does not say how its images were normalised; write --normalise imagenet (MAE, DINO, "
            f"DeiT), --normalise half (Google's and AugReg), or MEAN/STD"
        )

    @property
    def row_statistics(self) -> Statistics:
        """Those of the checkpoint that the name names, whatever the weights are."""
        settings = self._settings()
        return (tuple(settings["mean"]), tuple(settings["std"])) if settings else HALF

    @property
    def interpolation(self) -> Literal["bicubic", "bilinear"]:
        """How the checkpoint's training resized images, as timm says."""
        return "bilinear" if self._settings().get("interpolation") == "bilinear" else "bicubic"

    @property
    def _plain_name(self) -> str:
        return self.name.partition("@")[0] if self.size else self.name

    def _settings(self) -> dict[str, Any]:
        """timm's configuration of the checkpoint; empty for networks of our own."""
        if self.architecture in ARCHITECTURES:
            return {}
        if self.architecture.startswith(HUB):
            return _hub_settings(self.architecture)
        found = timm.get_pretrained_cfg(self.architecture if self.weights is None else self._plain_name)
        return found.to_dict() if found else {}

    def _download(self) -> Vit:
        try:
            vit = timm.create_model(self._plain_name, pretrained=True, num_classes=0, **_sized(self.size))
        except FAILURES as error:
            raise WeightsError(
                f"the weights of {self.name} could not be fetched ({reason_of(error)}); {remedy_of(error)}; or give"
                f" a local file with --backbone {self.name}=FILE, take the embedded --backbone demo, "
                f"or random weights with --backbone random:{self.architecture}"
            ) from error
        return _checked(vit, self.architecture, self.size)


def build(architecture: str, size: int | None = None) -> Vit:
    """Build the network with random weights and no head, for images of `size` pixels a side or of its own size.

    Raises ValueError when timm has no such vision transformer, or when the size does not fit it.
    """
    if architecture in ARCHITECTURES:
        settings = ARCHITECTURES[architecture] | _sized(size)
        like = settings.pop("like", None)
        make = partial(timm.create_model, like) if like else VisionTransformer
        return _checked(make(num_classes=0, **settings), architecture, size)
    if architecture.startswith(HUB):
        _hub_settings(architecture)  # whose errors are one sentence
    else:
        _check_name(architecture)
    return _checked(timm.create_model(architecture, num_classes=0, **_sized(size)), architecture, size)


def find(text: str) -> Backbone:
    """Find the backbone that `text` names, in the words at the top of this file; raises ValueError."""
    if text.startswith("random:"):
        found = re.fullmatch(r"random:(.*?)(?:@(\d+))?", text)
        assert found is not None
        return Backbone(text, found[1], None, "random weights, for cost work", size=int(found[2]) if found[2] else None)
    name, equals, file = text.partition("=")
    plain, at, size = name.rpartition("@") if re.search(r"@\d+$", name) else (name, "", "")
    backbone = _named(plain)
    if not equals and backbone.weights == "timm" and backbone.name in _known():
        raise ValueError(f"timm has no weights of {plain}; write {plain}=FILE or random:{plain}")
    if equals:
        backbone = replace(backbone, name=plain, weights=local_path(file), note="local file")
    return resized(backbone, int(size)) if at else backbone


def resized(backbone: Backbone, size: int | None) -> Backbone:
    """Return the backbone for images of `size` pixels a side, which its name then says; raises ValueError."""
    if size is None or size == backbone.size:
        return backbone
    if backbone.size is not None:
        raise ValueError(f"{backbone.name} has images of {backbone.size} pixels, not of {size}; give one size")
    return replace(backbone, name=f"{backbone.name}@{size}", size=size)


def search(word: str) -> list[tuple[str, str]]:
    """Return the names with this word in them that `find` knows, with the tag of the weights where timm has some."""
    rows = [(row.name, row.note) for row in BACKBONES.values() if word in row.name]
    for architecture in _known():
        for name, settings in timm.models.get_arch_pretrained_cfgs(architecture).items():
            weights = name if settings.has_weights else f"random:{architecture}"
            if word in weights and weights not in BACKBONES:
                rows.append((weights, f"{settings.input_size[-1]} px"))
    return rows


def listing() -> list[tuple[str, str]]:
    """Return what `list backbones` shows: the papers' rows, then one of each family and how to find the others."""
    rows = [(row.name, row.note) for row in BACKBONES.values()]
    others = [each for each in FAMILIES if each.example not in BACKBONES]
    return rows + [(each.example, f"{each.title}: {each.about}; more: list backbones {each.search}") for each in others]


def absolute(text: str) -> str:
    """Make the file in "NAME=FILE" an absolute path, so that the words mean the same in every folder."""
    name, equals, file = text.partition("=")
    return f"{name}={local_path(file).absolute()}" if equals and not text.startswith("random:") else text


def local_path(text: str) -> Path:
    """Return the path with the home in place of ~; raises ValueError where there is no such home."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(f"there is no home for {text}; write the path without ~") from error


def prepare(vit: Vit, classes: int, head: str, drop_path: float, dropout: float) -> Vit:
    """Give a loaded model its fresh head and the recipe's regularisation; `head` names the initialisation."""
    vit.reset_classifier(classes)
    _initialise(vit.get_classifier(), head)
    _regularise(vit, drop_path, dropout)
    return vit


@torch.no_grad()
def _initialise(head: nn.Linear, kind: str) -> None:
    """`linear`: PyTorch's default (PETL-ViT). `normal`: NOAH, DTL. `prior`: VPT, bias at a prior of 0.01."""
    if kind == "linear":
        head.reset_parameters()
    elif kind == "normal":
        nn.init.trunc_normal_(head.weight, std=0.02)
        nn.init.zeros_(head.bias)
    else:
        nn.init.kaiming_normal_(head.weight, a=0, mode="fan_out")
        nn.init.constant_(head.bias, -math.log(99))


def _regularise(vit: Vit, drop_path: float, dropout: float) -> None:
    """Stochastic depth rising linearly from 0 at block 1; dropout after the embedding and both MLP layers (VPT)."""
    blocks = [link.block for link in chain_of(vit)]
    for i, block in enumerate(blocks):
        rate = drop_path * i / max(1, len(blocks) - 1)
        for module in list(block.modules()):
            for branch in {"drop_path", "drop_path1", "drop_path2"} & dict(module.named_children()).keys():
                setattr(module, branch, DropPath(rate) if rate else nn.Identity())
            for name in {"drop1", "drop2", "mlp_drop"} & dict(module.named_children()).keys():
                getattr(module, name).p = dropout
    if not isinstance(vit, HIERARCHICAL):  # Swin has no dropout after its embedding
        vit.pos_drop.p = dropout
    rope = getattr(vit, "rope", None)
    if getattr(rope, "aug_active", False):  # coordinates drawn anew in training, by which frozen states would differ
        rope.aug_active = False


def _named(name: str) -> Backbone:
    """Return the backbone without file and size."""
    for row in BACKBONES.values():
        if name in (row.name, row.architecture):
            return row
    if name.startswith(HUB):
        return Backbone(name, name, "timm", "from the hub")
    _check_name(name)
    settings = timm.get_pretrained_cfg(name)
    full = f"{settings.architecture}.{settings.tag}" if settings.has_weights else name
    return Backbone(full, full, "timm", f"timm's weights, {settings.input_size[-1]} px")


def _check_name(name: str) -> None:
    """Raise ValueError unless timm has this transformer, and weights of this tag where the name has one."""
    architecture, dot, _ = name.partition(".")
    known = timm.models.get_arch_pretrained_cfgs(architecture) if dot else _known()
    if architecture not in _known() and architecture in timm.list_models():
        raise ValueError(f"{name} is none of the transformers that methods can change; {SEE}")
    if name not in known:
        own = [*BACKBONES, *(each for each in ARCHITECTURES if " " not in each)]
        raise ValueError(f"no backbone {name!r}; {guess(name, [*own, *_known(), *known])}{SEE}")


def _checked(vit: nn.Module, name: str, size: int | None) -> Vit:
    """Return the network, where it is one that the chain describes and the size fits; else ValueError."""
    if not isinstance(vit, KINDS):
        raise ValueError(f"{name} is none of the transformers that methods can change: it is {type(vit).__name__}")
    side = max(vit.patch_embed.patch_size)
    if size and size % side:
        nearest = max(1, round(size / side)) * side
        raise ValueError(f"images of {size} pixels do not fit {name}, whose patches have {side}; give {nearest}")
    return vit


@cache
def _known() -> tuple[str, ...]:
    """timm's names of the networks that the chain describes."""
    names = (name for module in MODULES for name in timm.list_models(module=module))
    return tuple(name for name in names if "_distilled_" not in name)  # which have two heads


@cache
def _hub_settings(name: str) -> dict[str, Any]:
    """Return the configuration that lies beside the weights on the hub; raises WeightsError."""
    try:
        settings, _, _ = timm.models.load_model_config_from_hf(name.removeprefix(HUB))
    except FAILURES as error:
        raise WeightsError(f"{name} could not be fetched ({reason_of(error)}); {remedy_of(error)}") from error
    return settings or {}


def _sized(size: int | None) -> dict[str, Any]:
    return {} if size is None else {"img_size": size}


@cache
def _digest(path: Path) -> str:
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:8]


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
