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
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Entangled, Method, Network, Unsupported
from methods.parts.recompute import Recomputing
from methods.parts.requirements import LAYERS, blocks_of, check_layers
from methods.settings import Count, Fraction, Number


class Factors(nn.Module):
    """Holds the factors that all layers share; the module belongs to the first block."""

    def __init__(self, width: int, rank: int, slices: int | None = None) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)  # U, with the library's own start
        self.up = nn.Linear(rank, width, bias=False)  # V
        nn.init.zeros_(self.up.weight)
        if slices is not None:
            self.slices = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, slices)))  # P
            self.core = nn.Parameter(nn.init.xavier_uniform_(torch.empty(rank, rank, rank)))  # C


class Train(nn.Module):
    """Makes S of a layer in TT; those of query, key and value are stacked."""

    def __init__(self, rank: int, layer: str, inputs: int, outputs: int) -> None:
        super().__init__()
        parts = outputs if layer == "attn.qkv" else 1
        layers = (nn.Linear(inputs * rank, outputs // parts * rank, bias=False) for _ in range(parts))
        self.parts = nn.ParameterList([layer.weight for layer in layers])  # with the library's own start

    def forward(self) -> Tensor:
        return torch.cat(list(self.parts))


class Tucker(nn.Module):
    """Makes S of a layer in TK from the shared C and some columns of P."""

    def __init__(self, factors: Factors, layer: str, columns: slice) -> None:
        super().__init__()
        self.shared = (factors,)  # in a tuple, so that its parameters do not count as this module's
        self.layer = layer
        self.columns = columns

    def forward(self) -> Tensor:
        (factors,) = self.shared
        cores = torch.einsum("abj,jc->abc", factors.core, factors.slices[:, self.columns])
        if self.layer == "mlp.fc2":
            return cores.flatten(1)
        return cores.flatten(1).T if self.layer == "mlp.fc1" else cores.permute(2, 1, 0).flatten(0, 1)


class Updated(nn.Module):
    """Adds a factored update to a frozen linear layer of `inputs` × `outputs` slices."""

    def __init__(self, frozen: nn.Linear, factors: Factors, core: nn.Module, scale: float, dropout: float) -> None:
        super().__init__()
        self.frozen = frozen
        self.core = core
        self.shared = (factors,)
        self.scale = scale
        self.dropout = nn.Dropout(dropout)
        self.inputs, self.outputs = slices_of(frozen, factors.down.in_features)

    def forward(self, x: Tensor) -> Tensor:
        (factors,) = self.shared
        codes = factors.down(x.unflatten(-1, (self.inputs, -1))).flatten(-2)
        codes = self.dropout(functional.linear(codes, self.core()))
        update = factors.up(codes.unflatten(-1, (self.outputs, -1))).flatten(-2)
        return self.frozen(x).add_(update, alpha=self.scale)  # in place: nothing keeps the layer's output

    def merged(self) -> nn.Linear:
        """Return one linear layer with the same output."""
        (factors,) = self.shared
        core = self.core().unflatten(1, (self.inputs, -1)).unflatten(0, (self.outputs, -1))
        update = torch.einsum("da,oaib,be->odie", factors.up.weight, core, factors.down.weight)
        weight = self.frozen.weight + self.scale * update.reshape_as(self.frozen.weight)
        self.frozen.weight = nn.Parameter(weight, requires_grad=False)
        return self.frozen


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
            check_layers(block)
            layers = {name: slices_of(block.get_submodule(name), vit.embed_dim) for name in LAYERS}
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


def slices_of(layer: nn.Linear, width: int) -> tuple[int, int]:
    """Return how many slices a layer's inputs and outputs have; raises Unsupported unless both are whole numbers."""
    if layer.in_features % width or layer.out_features % width:
        raise Unsupported("needs layers whose widths are multiples of the width of the tokens")
    return layer.in_features // width, layer.out_features // width
