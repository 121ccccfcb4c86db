"""DiffFit trains biases, norms and a scale for each branch of a vision transformer (Xie et al., ICCV 2023).

    x ← x + γ₁ · droppath(Attn(LN1 x)),   x ← x + γ₂ · droppath(MLP(LN2 x))      γ (D) starts at one, per channel

beside every parameter that has "bias" or "norm" in its name, that of the patch projection included. A scale multiplies
the output of the branch's last layer, with its bias, before layer scale and stochastic depth, which is the same
function. It keeps that output. Both scales merge into the rows of their layers: `merge`. See docs/methods/diffit.md.
"""

from __future__ import annotations

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from methods.base import Entangled, Method, Network
from methods.parts.requirements import blocks_of, check_layers

LAST = ("attn.proj", "mlp.fc2")  # the last layer of each branch


class Scaled(nn.Module):
    """Multiplies each output of a layer with a trainable γ."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.linear = layer
        self.gamma = nn.Parameter(torch.ones(layer.out_features))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) * self.gamma

    def merged(self) -> nn.Linear:
        """Return one linear layer with the same output."""
        self.linear.weight = nn.Parameter(self.gamma.unsqueeze(1) * self.linear.weight, requires_grad=False)
        if self.linear.bias is not None:
            self.linear.bias = nn.Parameter(self.gamma * self.linear.bias, requires_grad=False)
        return self.linear


class DiffFit(Method, name="diffit"):
    """DiffFit trains biases, norms and a scale for each channel of each branch; it merges into the backbone.

    Family: selective tuning
    Paper: Xie et al., ICCV 2023
    Entangled: yes
    Parameters: 140,544

    This is the form for classification of Mai et al. (CVPR 2025), who spell it difffit; the paper is about diffusion
    transformers. The gradient of the key part of each qkv bias is zero up to rounding.
    """

    starts_as_backbone = True

    def attach(self, vit: VisionTransformer) -> Network:
        """Unfreeze biases and norms, and scale both branches of each block."""
        for name, parameter in vit.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or "bias" in name or "norm" in name)
        for block in blocks_of(vit):
            check_layers(block, *LAST)
            for name in LAST:
                block.set_submodule(name, Scaled(block.get_submodule(name)))
        return Entangled(vit)
