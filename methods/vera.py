"""VeRA learns vectors that scale random matrices, which all blocks share (Kopiczko et al., ICLR 2024).

For the rows of the attention's projection that are a target (queries, values, or all three at once):

    y = W x + bias + alpha · b * (B (d * (A x)))      * elementwise; A (rank×inputs), B (outputs×rank) frozen

d (rank) and b (outputs, from zero) learn for each block and target. `shared=all` is the form of the PEFT library: one
pair A, B for all targets, alpha 1, d from 0.1. `per_target` is the form of PVeRA's authors: a pair for each target,
alpha 16, and d from one number between 0 and 1 for each target of each block. A and B are buffers, and stored.

Written as (alpha · b * B * d) (A x) the update keeps A x alone; that matrix is made again in the backward pass. See
docs/methods/vera.md.
"""

from __future__ import annotations

from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods import lora
from methods.base import Entangled, Method, Network
from methods.parts.recompute import Recomputing
from methods.parts.requirements import blocks_of, check_layers
from methods.settings import Count, Number

TARGETS = {"qv": ("q", "v"), "qkv": ("qkv",)}


class Pair(nn.Module):
    """Holds A and B, Kaiming-uniform by the inputs of each, or by the outputs where their transposes were drawn."""

    down: Tensor
    up: Tensor

    def __init__(self, inputs: int, codes: int, rank: int, outputs: int, fan: Literal["fan_in", "fan_out"]) -> None:
        super().__init__()
        self.register_buffer("down", nn.init.kaiming_uniform_(torch.empty(codes, inputs), mode=fan))
        self.register_buffer("up", nn.init.kaiming_uniform_(torch.empty(outputs, rank), mode=fan))


class Mixed(nn.Module):
    """Computes `alpha · b * B * d` of the frozen B; without d where the code is multiplied with it."""

    def __init__(self, outputs: int, alpha: float, d: Tensor | None) -> None:
        super().__init__()
        self.d = None if d is None else nn.Parameter(d)
        self.b = nn.Parameter(torch.zeros(outputs))
        self.alpha = alpha

    def forward(self, up: Tensor) -> Tensor:
        factors = self.b.unsqueeze(1) if self.d is None else torch.outer(self.b, self.d)
        return up * (self.alpha * factors)


class Update(nn.Module):
    """Makes the update of one target in one block."""

    def __init__(self, pair: Pair, mixed: Mixed) -> None:
        super().__init__()
        self.shared = (pair,)  # in a tuple, so that its buffers are not this module's
        self.mixed = mixed

    def forward(self, x: Tensor) -> Tensor:
        (pair,) = self.shared
        return functional.linear(functional.linear(x, pair.down), self.mixed(pair.up))

    def matrix(self) -> Tensor:
        """Return the update as one matrix (outputs×inputs)."""
        (pair,) = self.shared
        return self.mixed(pair.up) @ pair.down


class Vera(Method, name="vera"):
    """VeRA scales random matrices, shared by all blocks, with vectors that learn; it merges into the backbone.

    Family: low-rank updates
    Paper: Kopiczko et al., ICLR 2024
    Entangled: yes
    Parameters: 24,576 (30,720 on the fused projection)

    The network starts as the backbone.

    Settings:
        rank: Rank of the shared matrices; it may be larger than the width.
        target: `qv` updates queries and values, `qkv` the fused projection.
        shared: `all` is the form of the PEFT library, one pair of matrices for all targets; `per_target` is that of
            PVeRA's authors, a pair for the queries and one for the values, and goes with `alpha=16`.
        alpha: Factor of the update.
    """

    starts_as_backbone = True
    codes = 1  # length of d in ranks
    rank: Count = 256
    target: Literal["qv", "qkv"] = "qv"
    shared: Literal["all", "per_target"] = "all"
    alpha: Number = 1.0

    def attach(self, vit: VisionTransformer) -> Network:
        """Draw the matrices, and give each target of each block its vectors."""
        names, blocks = TARGETS[self.target], blocks_of(vit)
        for block in blocks:
            check_layers(block, "attn.qkv")
        width = blocks[0].attn.qkv.out_features // 3
        fan: Literal["fan_in", "fan_out"] = "fan_in" if self.shared == "all" else "fan_out"
        pairs = nn.ModuleDict()
        for name in names if self.shared == "per_target" else ("all",):
            pairs[name] = Pair(width, self.codes * self.rank, self.rank, width * len(names[0]), fan)
        for i, block in enumerate(blocks):
            updates = {name: self._update(pairs[name if name in pairs else "all"], width * len(name)) for name in names}
            block.attn.qkv = lora.Adapted(block.attn.qkv, updates)
            vit.blocks[i] = Recomputing(block, *(f"attn.qkv.updates.{name}.mixed" for name in names))
        vit.add_module("pairs", pairs)
        return self._network(vit)

    def merge(self, network: Network) -> Network:
        """Add the updates to the frozen weights, and drop the matrices that they shared."""
        del super().merge(network).vit.pairs
        return network

    def _start(self) -> Tensor:
        """Make a fresh d."""
        value = torch.full((1,), 0.1) if self.shared == "all" else torch.empty(1).uniform_(1e-5, 1)
        return value.repeat(self.codes * self.rank)

    def _update(self, pair: nn.Module, outputs: int) -> Update:
        assert isinstance(pair, Pair)
        return Update(pair, Mixed(outputs, self.alpha, self._start()))

    def _network(self, vit: VisionTransformer) -> Network:
        return Entangled(vit)
