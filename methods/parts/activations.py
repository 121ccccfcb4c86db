"""Applies options that cut what blocks keep for their backward pass: words of a recipe's `activations`.

    regelu2                            ReGELU2 of every GELU between fc1 and fc2 (Yang et al., ICML 2024)
    ms_ln                              MS-LN: norms keep their output, which the layer after them keeps anyway (ibid.)
    velora:LAYERS:groups=32:scale=1    VeLoRA: LAYERS (fc2, or qkv/fc2) keep projections of their inputs (Miles et al.,
                                       NeurIPS 2024)

Words are separated by commas. `SENTENCES` says of each which result it changes; the forward pass stays the same with
all of them. Each is put where it can save something: ReGELU2 into the backbone's MLPs, MS-LN where the layer after a
norm learns, or has updates that do, VeLoRA into the layers of those names whose weight learns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import timm.layers
import torch
from timm.models.vision_transformer import Block
from torch import nn

from methods.backbones.chain import KINDS
from methods.parts.lean_layers import MsNorm, ReGelu2, VeloraLinear
from methods.settings import Count, Positive, parse

__all__ = ["SENTENCES", "Activations", "Velora", "keep_less", "merge_norm"]

SENTENCES = {
    "regelu2": "gradients through GELU are approximate (one of four slopes), so training differs; the forward pass "
    "does not",
    "ms_ln": "gradients are exact; the scale and shift of a norm before a layer that learns are merged into that layer "
    "and no longer learn apart, so the optimiser takes other steps",
    "velora": "weight gradients of the named layers are approximate (inputs projected on one direction), so training "
    "differs; the forward pass does not",
}
BOTH = ("regelu2", "ms_ln")  # what the word `both` stands for
LAYERS = ("qkv", "proj", "fc1", "fc2", "down", "up")  # that VeLoRA may name; the last two belong to adapters


@dataclass(frozen=True)
class Velora:
    """Settings of VeLoRA for layers of these names: inputs are cut into `groups`, weight gradients times `scale`."""

    layers: tuple[str, ...]
    groups: int = 32
    scale: float = 1.0

    @classmethod
    def of(cls, word: str) -> Velora:
        """Parse `velora:fc2/qkv:groups=16`; raises ValueError."""
        layers, *settings = word.split(":")[1:] or [""]
        names = tuple(sorted(set(layers.split("/")), key=LAYERS.index)) if set(layers.split("/")) <= {*LAYERS} else ()
        if not names:
            raise ValueError(f"{word!r} names no known layer; write velora:fc2, of {', '.join(LAYERS)}, several with /")
        values = {}
        for key, _, text in (setting.partition("=") for setting in settings):
            if key not in ("groups", "scale") or key in values:
                raise ValueError(f"{word!r}: velora has the settings groups=32 and scale=1, each once")
            values[key] = parse(Count if key == "groups" else Positive, text)
        return cls(names, **values)

    def __str__(self) -> str:
        groups, scale = (f":groups={self.groups}", f":scale={self.scale:g}")
        return f"velora:{'/'.join(self.layers)}{groups * (self.groups != 32)}{scale * (self.scale != 1)}"


@dataclass(frozen=True)
class Activations:
    """The options of one recipe; `str` writes them in the one way that counts for a run's identity."""

    regelu2: bool = False
    ms_ln: bool = False
    velora: tuple[Velora, ...] = ()

    @classmethod
    def of(cls, text: str) -> Activations:
        """Parse comma-separated words in any order; `none`, or nothing, is none of them. Raises ValueError."""
        words = [word.strip() for word in text.split(",") if word.strip() not in ("", "none")]
        words = [part for word in words for part in (BOTH if word == "both" else (word,))]
        if unknown := [word for word in words if word not in BOTH and word.partition(":")[0] != "velora"]:
            raise ValueError(f"{unknown[0]!r} is no option of activations; known: regelu2, ms_ln, both, velora:LAYERS")
        velora = [Velora.of(word) for word in dict.fromkeys(words) if word not in BOTH]
        named = [layer for option in velora for layer in option.layers]
        if len(set(named)) < len(named):
            raise ValueError(f"{text!r} names the layer {max(named, key=named.count)} twice")
        return cls("regelu2" in words, "ms_ln" in words, tuple(sorted(velora, key=str)))

    def __str__(self) -> str:
        return ",".join([*(name for name in BOTH if getattr(self, name)), *map(str, self.velora)])

    def without(self, option: str) -> Activations:
        """Return the options without this one."""
        return dataclasses.replace(self, **{option: () if option == "velora" else False})

    def options(self) -> list[str]:
        """Return the names, as in `SENTENCES`, of the options that are on."""
        return [name for name in SENTENCES if getattr(self, name)]


def keep_less(network: nn.Module, activations: Activations) -> None:
    """Change a network in place as the options say; raises ValueError where VeLoRA's groups do not fit a layer."""
    parts = [module for vit in network.modules() if isinstance(vit, KINDS) for module in vit.modules()]
    for module in parts:
        if activations.ms_ln and isinstance(module, Block):
            _share(module)
        if activations.regelu2 and _has_gelu(module):
            module.act = ReGelu2()
    for option in activations.velora:
        for owner, name, layer in list(_layers(network, option.layers)):
            if layer.in_features % option.groups:
                widths = f"cannot cut the {layer.in_features} inputs of {name} into {option.groups} equal parts"
                raise ValueError(f"velora {widths}; give another number, such as velora:{name}:groups=4")
            setattr(owner, name, VeloraLinear(layer, option.groups, option.scale))


def merge_norm(norm: nn.LayerNorm, layer: nn.Linear) -> None:
    """Change a layer that reads a norm's output into one that reads it before scale and shift; exact."""
    with torch.no_grad():
        if norm.bias is not None:
            if layer.bias is None:
                layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_features), layer.weight.requires_grad)
            layer.bias += layer.weight @ norm.bias
        layer.weight *= norm.weight


def _share(block: Block) -> None:
    """Apply MS-LN where the layer after a norm keeps its input: if it is plain and learns, or has `absorb`."""
    for owner, name, norm_name in ((block.attn, "qkv", "norm1"), (block.mlp, "fc1", "norm2")):
        norm, layer = getattr(block, norm_name), getattr(owner, name, None)
        if not isinstance(norm, nn.LayerNorm) or norm.weight is None:
            continue
        if type(layer) is nn.Linear and layer.weight.requires_grad:
            merge_norm(norm, layer)
        elif not (hasattr(layer, "absorb") and layer.absorb(norm)):
            continue
        setattr(block, norm_name, MsNorm(norm))


def _has_gelu(module: nn.Module) -> bool:
    """Return whether it is an MLP with exact GELU, as ReGELU2's slopes need, whose input nobody keeps."""
    act = getattr(module, "act", None)
    exact = isinstance(act, timm.layers.GELU) or (type(act) is nn.GELU and act.approximate == "none")
    return exact and hasattr(module, "fc1") and not getattr(module.fc1, "keeps_output", False)


def _layers(network: nn.Module, names: tuple[str, ...]) -> Iterator[tuple[nn.Module, str, nn.Linear]]:
    """Yield the plain linear layers of these names whose weight learns, with the modules that have them."""
    for owner in network.modules():
        for name, layer in owner.named_children():
            if name in names and type(layer) is nn.Linear and layer.weight.requires_grad:
                yield owner, name, layer
