"""DoRA trains magnitudes of weight rows and low-rank updates of their directions (Liu et al., ICML 2024).

For a frozen linear layer W (outputs×inputs) with A (rank×inputs), B (outputs×rank) and m (outputs), scale = alpha/rank:

    V = W + scale · B A      n = ‖V‖ of each row, a constant in the backward pass      y = (m/n) · (V x) + bias

    dropout in training:  y = W x + bias + (m/n) · V drop(x) − W drop(x)

m starts as the row norms of W, B at zero. The layer is run with the weight (m/n)·V, so that neither W x nor B A x is
kept; the weights and the normalised tokens are made again in the backward pass. See docs/methods/dora.md.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Entangled, Method, Network
from methods.parts.recompute import Recomputing
from methods.parts.requirements import blocks_of, check_layers
from methods.settings import Count, Fraction, Number

PARTS = {"qv": ("q", "k", "v"), "qkv": ("qkv",)}  # how the projection is cut; "k" stays as it is


class Direction(nn.Module):
    """Computes `W + scale · B A` for frozen rows W, in their precision."""

    def __init__(self, frozen: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        outputs, inputs = frozen.shape
        self.down = nn.Parameter(nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=math.sqrt(5)))
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = scale

    def forward(self, frozen: Tensor) -> Tensor:
        with torch.autocast("cpu" if frozen.is_meta else frozen.device.type, enabled=False):
            return torch.addmm(frozen, self.up, self.down, alpha=self.scale)


class Decomposed(nn.Module):
    """Computes `(m/n) · V`, the weight that replaces frozen rows W."""

    def __init__(self, frozen: Tensor, rank: int, scale: float) -> None:
        super().__init__()
        self.direction = Direction(frozen, rank, scale)
        self.magnitude = nn.Parameter(torch.linalg.vector_norm(frozen.detach(), dim=1))

    def forward(self, frozen: Tensor) -> Tensor:
        direction = self.direction(frozen)
        norm = torch.linalg.vector_norm(direction.detach(), dim=1)
        return (self.magnitude / norm).unsqueeze(1) * direction


class Adapted(nn.Module):
    """A frozen projection to queries, keys and values, some of whose rows are decomposed."""

    keeps_precision = True  # frozen rows and their update are added in fp32

    def __init__(self, frozen: nn.Linear, method: Dora) -> None:
        super().__init__()
        self.frozen = frozen
        self.names = PARTS[method.target]
        self.dropout = nn.Dropout(method.dropout)
        rows = dict(zip(self.names, frozen.weight.chunk(len(self.names)), strict=True))
        chosen = {name: Decomposed(weight, method.rank, method.scale) for name, weight in rows.items() if name != "k"}
        self.weights = nn.ModuleDict(chosen)

    def forward(self, x: Tensor) -> Tensor:
        count, bias = len(self.names), self.frozen.bias
        biases = [None] * count if bias is None else bias.chunk(count)
        outputs = []
        for name, rows, shift in zip(self.names, self.frozen.weight.chunk(count), biases, strict=True):
            weight = self.weights[name](rows) if name in self.weights else rows
            if name in self.weights and self.training and self.dropout.p:
                changed = functional.linear(self.dropout(x), weight - rows)
                outputs.append(functional.linear(x, rows, shift).add_(changed))
            else:
                outputs.append(functional.linear(x, weight, shift))
        return outputs[0] if count == 1 else torch.cat(outputs, dim=-1)

    def merged(self) -> nn.Linear:
        """Return one linear layer with the same output."""
        rows = zip(self.names, self.frozen.weight.chunk(len(self.names)), strict=True)
        weight = torch.cat([self.weights[name](part) if name in self.weights else part for name, part in rows])
        self.frozen.weight = nn.Parameter(weight, requires_grad=False)
        return self.frozen


class Dora(Method, name="dora"):
    """DoRA trains magnitudes and low-rank updates of directions of attention weights; it merges into the backbone.

    Family: low-rank updates
    Paper: Liu et al., ICML 2024
    Entangled: yes
    Parameters: 313,344 (322,560 on the fused projection)

    The network starts as the backbone up to rounding of the magnitudes.

    Settings:
        rank: Rank of the update.
        target: `qv` treats queries and values as layers of their own; with `qkv` the three share one down-projection,
            and keys have magnitudes too.
        scale: Factor of the update, alpha/rank in the paper.
        dropout: Share of the update's input that is dropped in training.
    """

    rank: Count = 8
    target: Literal["qv", "qkv"] = "qv"
    scale: Number = 1.0
    dropout: Fraction = 0.0

    def attach(self, vit: VisionTransformer) -> Network:
        """Decompose rows of the projection of each block."""
        for i, block in enumerate(blocks_of(vit)):
            check_layers(block, "attn.qkv")
            block.attn.qkv = Adapted(block.attn.qkv, self)
            weights = [f"attn.qkv.weights.{name}" for name in block.attn.qkv.weights]
            vit.blocks[i] = Recomputing(block, "norm1", *(f"{name}.direction" for name in weights), *weights)
        return Entangled(vit)
