"""Convpass puts convolutional bypasses beside attention and MLP (Jie and Deng, 2022; docs/methods/convpass.md).

Both read what their half of the block reads, the normalised tokens (B×N×D):

    x ← x + droppath(Attn(LN1 x)) + scale · droppath(CP1(LN1 x)),  then  x ← x + droppath(MLP(LN2 x)) + …CP2(LN2 x)
    CP = Up ∘ drop ∘ g ∘ Conv ∘ g ∘ Down,  g(z) = z·sigmoid(1.702 z)

Down D→units, a 3×3 convolution of the patches on their grid, Up units→D from zero. A prefix token (the class token) is
an image of one pixel to the kernel. The normalised tokens are made again in the backward pass, so that a bypass keeps
codes of `units` alone.
"""

from typing import Literal

import torch
from timm.layers import QuickGELU
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Entangled, Method, Network
from methods.parts.bypass import Beside, Bottleneck
from methods.parts.recompute import Recomputing
from methods.parts.requirements import blocks_of
from methods.settings import Count, Fraction, Number


class Pass(nn.Module):
    """Applies g, the convolution and g again: the middle of a bypass."""

    def __init__(self, units: int, grid: tuple[int, int], prefix: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(units, units, 3, padding=1)
        self.gate = QuickGELU()
        self.grid = grid
        self.prefix = prefix  # tokens before the patches

    def forward(self, x: Tensor) -> Tensor:
        code = self.gate(x)
        patches = code[:, self.prefix :].unflatten(1, self.grid).permute(0, 3, 1, 2)  # a view, channels last
        patches = self.conv(patches).permute(0, 2, 3, 1).flatten(1, 2)
        first = functional.linear(code[:, : self.prefix], self.conv.weight[:, :, 1, 1], self.conv.bias)
        return self.gate(torch.cat([first, patches], dim=1))


class Convpass(Method, name="convpass"):
    """Convpass puts bottlenecks with a 3×3 convolution in the middle beside attention and MLP.

    Family: adapters
    Paper: Jie and Deng, arXiv 2022
    Entangled: yes
    Parameters: 327,552 (163,776 beside attention alone)

    The network starts as the backbone.

    Settings:
        variant: `full` has a bypass beside attention and one beside the MLP, `attn` beside attention alone.
        units: Width of the bottleneck.
        scale: Factor of the bypass; the authors choose it for each task, of 0.01 … 100.
        dropout: Share of the bottleneck's activations that is dropped in training.
        conv: Start of the convolution, which the authors choose for each task: `xavier`, or the `identity` at the
            centre of the kernel.
    """

    starts_as_backbone = True
    variant: Literal["full", "attn"] = "full"
    units: Count = 8
    scale: Number = 1.0
    dropout: Fraction = 0.1
    conv: Literal["xavier", "identity"] = "xavier"

    def attach(self, vit: VisionTransformer) -> Network:
        """Put bypasses beside attention and MLP of each block, each with a stochastic depth of its own."""
        norms = ("norm1", "norm2") if self.variant == "full" else ("norm1",)
        for i, block in enumerate(blocks_of(vit)):
            block.attn = self._beside(vit, block.attn, block.ls1, block.drop_path1)
            block.ls1, block.drop_path1 = nn.Identity(), nn.Identity()
            if self.variant == "full":
                block.mlp = self._beside(vit, block.mlp, block.ls2, block.drop_path2)
                block.ls2, block.drop_path2 = nn.Identity(), nn.Identity()
            vit.blocks[i] = Recomputing(block, *norms)
        return Entangled(vit)

    def _beside(self, vit: VisionTransformer, half: nn.Module, layer_scale: nn.Module, drop_path: nn.Module) -> Beside:
        middle = Pass(self.units, vit.patch_embed.grid_size, vit.num_prefix_tokens)
        bypass = Bottleneck(vit.embed_dim, self.units, middle, self.dropout)
        nn.init.xavier_uniform_(bypass.down.weight)
        nn.init.zeros_(bypass.up.weight)
        if self.conv == "xavier":
            nn.init.xavier_uniform_(middle.conv.weight)
        else:
            nn.init.dirac_(middle.conv.weight)
        for layer in (bypass.down, middle.conv, bypass.up):
            nn.init.zeros_(layer.bias)
        return Beside(nn.Sequential(half, layer_scale, drop_path), nn.Sequential(bypass, drop_path), self.scale)
