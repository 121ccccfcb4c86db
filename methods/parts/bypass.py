"""Bypasses: small branches beside the halves of a transformer block, and what a block must be to have them."""

from __future__ import annotations

from collections.abc import Sequence

from timm.layers import Mlp
from timm.models import VisionTransformer
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from methods.base import Unsupported

__all__ = ["Beside", "Bottleneck", "blocks_of", "check_layers"]


class Bottleneck(nn.Module):
    """Width to `units`, an activation, dropout on that code, and back."""

    def __init__(self, width: int, units: int, activation: nn.Module, dropout: float = 0.0, bias: bool = True) -> None:
        super().__init__()
        self.down = nn.Linear(width, units, bias=bias)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(units, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.dropout(self.activation(self.down(x))))


class Beside(nn.Module):
    """`main(x) + scale · bypass(x)`; the sum is formed in the output of `main`, which nothing keeps."""

    def __init__(self, main: nn.Module, bypass: nn.Module, scale: float) -> None:
        super().__init__()
        self.main = main
        self.bypass = bypass
        self.scale = scale

    def forward(self, x: Tensor, **unset: object) -> Tensor:
        assert not any(unset.values())  # timm's block hands on an attention mask, which nobody sets here
        return self.main(x).add_(self.bypass(x), alpha=self.scale)


def blocks_of(vit: nn.Module) -> Sequence[nn.Module]:
    """The blocks, if they are the plain ones; raises Unsupported otherwise."""
    if not isinstance(vit, VisionTransformer) or any(type(block) is not Block for block in vit.blocks):
        raise Unsupported("needs blocks of attention and then MLP, each with a norm before it")
    return vit.blocks


def check_layers(block: nn.Module) -> None:
    """Raise Unsupported unless attention is one projection and another, and the MLP two linear layers."""
    layers = [getattr(block.attn, name, None) for name in ("qkv", "proj")]
    layers += [getattr(block.mlp, name, None) for name in ("fc1", "fc2")]
    if type(block.mlp) is not Mlp or any(type(layer) is not nn.Linear for layer in layers):
        raise Unsupported("needs one linear projection to queries, keys and values, and an MLP of two linear layers")
