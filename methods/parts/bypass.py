"""Provides bypasses: small branches beside attention or MLP."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["Beside", "Bottleneck", "Residual"]


class Bottleneck(nn.Module):
    """Projects to `units`, applies an activation and dropout, and projects back."""

    def __init__(self, width: int, units: int, activation: nn.Module, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.down = nn.Linear(width, units, bias=bias)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(units, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.dropout(self.activation(self.down(x))))


class Residual(Bottleneck):
    """Adds x to a bottleneck with GELU, which is dropped out before and after its second layer."""

    def __init__(self, width: int, units: int, dropout: float = 0.0) -> None:
        super().__init__(width, units, nn.GELU(), dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(super().forward(x))


class Beside(nn.Module):
    """Computes `main(x) + scale · bypass(x)`; the sum is formed in the output of `main`, which nothing keeps."""

    def __init__(self, main: nn.Module, bypass: nn.Module, scale: float) -> None:
        super().__init__()
        self.main = main
        self.bypass = bypass
        self.scale = scale

    def forward(self, x: Tensor, **unset: object) -> Tensor:
        assert not any(unset.values())  # timm's block hands on an attention mask, which nobody sets here
        return self.main(x).add_(self.bypass(x), alpha=self.scale)
