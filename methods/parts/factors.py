"""Provides the parts of FacT: layers whose weight updates are slices of one factored tensor (methods/fact.py)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Unsupported

__all__ = ["LAYERS", "Factors", "Train", "Tucker", "Updated", "slices_of"]

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")  # in the order of their slices


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
        self.frozen.weight = nn.Parameter(weight.detach(), requires_grad=False)
        return self.frozen


def slices_of(layer: nn.Linear, width: int) -> tuple[int, int]:
    """Return how many slices a layer's inputs and outputs have; raises Unsupported unless both are whole numbers."""
    if layer.in_features % width or layer.out_features % width:
        raise Unsupported("needs layers whose widths are multiples of the width of the tokens")
    return layer.in_features // width, layer.out_features // width
