"""RepAdapter puts a linear bottleneck before a frozen layer, into which it merges (Luo et al., 2023).

With the normalised tokens u (B×N×D) of a block, code width `units` and `groups` G:

    R(u) = u + scale · (Up(drop(Down u + a)) + b)      x ← x + Attn(R₁(LN1 x)),  x ← x + MLP(R₂(LN2 x))

Down (units×D, bias a) is dense. Up (D×units/G, bias b) is grouped: the channels g·D/G … of the output read the entries
g·units/G … of the code alone. There is no activation, so with U the block-diagonal D×units matrix of Up

    W ← W (I + scale · U Down),   bias ← bias + scale · W (U a + b)

of the projection to queries, keys and values (and of fc1) is the same network: `merge`. The normalised tokens are made
again in the backward pass, so that an adapter keeps its code alone. See docs/methods/repadapter.md.
"""

from __future__ import annotations

from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Entangled, Method, Network
from methods.parts.recompute import Recomputing
from methods.parts.requirements import blocks_of, check_layers
from methods.settings import Count, Fraction, Number

LAYERS = ("attn.qkv", "mlp.fc1")  # that read a norm's output


class Grouped(nn.Module):
    """A grouped linear layer, as a grouped 1×1 convolution; it starts at zero."""

    def __init__(self, units: int, width: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width, units // groups))
        self.bias = nn.Parameter(torch.zeros(width))
        self.groups = groups

    def forward(self, code: Tensor) -> Tensor:
        return functional.linear(code, self.matrix(), self.bias)

    def matrix(self) -> Tensor:
        """Return the weight as one matrix (width×units), zero outside the groups."""
        return torch.block_diag(*self.weight.chunk(self.groups))


class Adapted(nn.Module):
    """Feeds R(u) in place of u to a frozen linear layer."""

    def __init__(self, frozen: nn.Linear, method: RepAdapter) -> None:
        super().__init__()
        self.frozen = frozen
        self.down = nn.Linear(frozen.in_features, method.units)
        self.up = Grouped(method.units, frozen.in_features, method.groups)
        self.dropout = nn.Dropout(method.dropout)
        self.scale = method.scale
        nn.init.xavier_uniform_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, u: Tensor) -> Tensor:
        added = self.up(self.dropout(self.down(u)))
        return self.frozen(added.mul_(self.scale).add_(u))  # in place: nothing keeps what is added

    def merged(self) -> nn.Linear:
        """Return one linear layer with the same output."""
        frozen, up = self.frozen, self.up.matrix()
        shift = self.scale * frozen.weight @ (up @ self.down.bias + self.up.bias)
        weight = frozen.weight + self.scale * (frozen.weight @ up) @ self.down.weight
        frozen.weight = nn.Parameter(weight, requires_grad=False)
        frozen.bias = nn.Parameter(shift if frozen.bias is None else frozen.bias + shift, requires_grad=False)
        return frozen


class RepAdapter(Method, name="repadapter"):
    """RepAdapter puts linear bottlenecks before attention and MLP; it merges into the backbone.

    Family: adapters
    Paper: Luo et al., arXiv 2023
    Entangled: yes
    Parameters: 239,808 (119,904 before attention alone)

    The network starts as the backbone.

    Settings:
        variant: `block` has an adapter before attention and one before the MLP, `attn` before attention alone.
        units: Width of the bottleneck.
        groups: Groups of the second layer; each reads its share of the bottleneck alone.
        scale: Factor of the adapter, its bias included; the authors choose it for each task, of 0.1 … 10.
        dropout: Share of the bottleneck's activations that is dropped in training.
    """

    starts_as_backbone = True
    variant: Literal["block", "attn"] = "block"
    units: Count = 8
    groups: Count = 2
    scale: Number = 1.0
    dropout: Fraction = 0.1

    def attach(self, vit: VisionTransformer) -> Network:
        """Put an adapter between each norm and the layer that reads it."""
        for name, size in (("units", self.units), ("width", vit.embed_dim)):
            if size % self.groups:
                raise ValueError(f"repadapter: groups={self.groups} does not divide {name}={size}")
        norms, layers = (("norm1", "norm2"), LAYERS) if self.variant == "block" else (("norm1",), LAYERS[:1])
        for i, block in enumerate(blocks_of(vit)):
            check_layers(block, *layers)
            for layer in layers:
                block.set_submodule(layer, Adapted(block.get_submodule(layer), self))
            vit.blocks[i] = Recomputing(block, *norms)
        return Entangled(vit)
