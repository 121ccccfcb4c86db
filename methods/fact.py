"""FacT writes the weight updates of all layers as one factored tensor (Jie and Deng, AAAI 2023; docs/methods/fact.md).

The weights of a block are cut into D×D slices: q, k, v, proj, and one for each D of the MLP's width in fc1 and fc2
(12 slices where the MLP is four times as wide). Shared by all slices are U (rank×D) and V (D×rank, zero at first):

    x ↦ W_i x + scale · V drop(S_i U x)      TT: S_i is learned as it is      TK: S_i[b, a] = Σ_j C[a, b, j] P[j, i]

A layer of several slices takes the slices of its input through U, one S of all, and the parts of that through V; so
query, key and value share U x. Where S mixes slices in TK its layout is the released code's: columns innermost.
Norms and activations before U are made again in the backward pass; a layer keeps codes of the rank alone.
"""

from __future__ import annotations

import torch
from timm.models import VisionTransformer
from torch import nn

from methods.base import Entangled, Method, Network
from methods.parts.bypass import blocks_of, check_layers
from methods.parts.factors import LAYERS, Factors, Train, Tucker, Updated, slices_of
from methods.parts.recompute import Recomputing
from methods.settings import Count, Fraction, Number


class FactTt(Method, name="fact_tt"):
    """FacT-TT updates the weights of all layers together, as one tensor train; it merges into the backbone.

    Family: low-rank updates
    Paper: Jie and Deng, AAAI 2023
    Entangled: yes
    Parameters: 61,440 (1,536 · rank + 144 · rank²)

    The network starts as the backbone.

    Settings:
        rank: Rank of the factors; the authors choose it for each task.
        scale: Factor of the update; the authors choose it for each task.
        dropout: Share of the codes that is dropped in training.
    """

    starts_as_backbone = True
    rank: Count = 16
    scale: Number = 1.0
    dropout: Fraction = 0.1

    def attach(self, vit: VisionTransformer) -> Network:
        """Add an update to each linear layer of each block."""
        factors: Factors | None = None
        blocks = blocks_of(vit)
        for i, block in enumerate(blocks):
            layers = _layers(block, vit.embed_dim)
            per_block = sum(inputs * outputs for inputs, outputs in layers.values())
            factors = factors or self._factors(vit.embed_dim, per_block * len(blocks))
            first = i * per_block
            for name, (inputs, outputs) in layers.items():
                columns = slice(first, first := first + inputs * outputs)
                frozen, core = block.get_submodule(name), self._core(factors, name, columns, inputs, outputs)
                block.set_submodule(name, Updated(frozen, factors, core, self.scale, self.dropout))
            vit.blocks[i] = Recomputing(block, "norm1", "norm2", "mlp.act")
        vit.blocks[0].add_module("factors", factors)
        return Entangled(vit)

    @torch.no_grad()
    def merge(self, network: Network) -> Network:
        """Add the updates to the frozen weights; the architecture is the backbone's again. `network` is used up."""
        assert isinstance(network, Entangled)
        for block in (blocks := [block.unwrapped() for block in network.vit.blocks]):
            for name in LAYERS:
                block.set_submodule(name, block.get_submodule(name).merged())
        network.vit.blocks = nn.Sequential(*blocks)
        return network

    def _factors(self, width: int, slices: int) -> Factors:
        return Factors(width, self.rank)

    def _core(self, factors: Factors, layer: str, columns: slice, inputs: int, outputs: int) -> nn.Module:
        return Train(self.rank, layer, inputs, outputs)


class FactTk(FactTt, name="fact_tk"):
    """FacT-TK updates the weights of all layers together, in Tucker form; it merges into the backbone.

    Family: low-rank updates
    Paper: Jie and Deng, AAAI 2023
    Entangled: yes
    Parameters: 86,528 (1,680 · rank + rank³)
    """

    rank: Count = 32

    def _factors(self, width: int, slices: int) -> Factors:
        return Factors(width, self.rank, slices)

    def _core(self, factors: Factors, layer: str, columns: slice, inputs: int, outputs: int) -> nn.Module:
        return Tucker(factors, layer, columns)


def _layers(block: nn.Module, width: int) -> dict[str, tuple[int, int]]:
    """Return how many slices the inputs and the outputs of each layer have."""
    check_layers(block)
    return {name: slices_of(block.get_submodule(name), width) for name in LAYERS}
