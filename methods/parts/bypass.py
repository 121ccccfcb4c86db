"""Provides bypasses, small branches beside attention or MLP, and checks that a block can have them."""

from __future__ import annotations

from collections.abc import Sequence

from timm.layers import GluMlp, Mlp
from timm.models.beit import Block as BeitBlock
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from methods.base import Unsupported

__all__ = ["LAYERS", "PRE_NORM", "Beside", "Bottleneck", "blocks_of", "check_layers"]

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
PRE_NORM = (Block, EvaBlock, BeitBlock)  # x + drop_path1(Attn(norm1 x)), then x + drop_path2(MLP(norm2 x))


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


def blocks_of(vit: nn.Module, kinds: tuple[type[nn.Module], ...] = (Block,)) -> Sequence[nn.Module]:
    """The blocks, if each is of one of these kinds; raises Unsupported otherwise."""
    blocks = getattr(vit, "blocks", [vit])  # those of a hierarchical backbone lie in stages
    if any(type(block) not in kinds for block in blocks):
        raise Unsupported("needs blocks of attention and then MLP, each with a norm before it")
    return blocks


def check_layers(block: nn.Module, *names: str) -> None:
    """Raise Unsupported unless the layers of these names, by default all four, are linear, and the MLP has just two."""
    for name in names or LAYERS:
        owner, child = block.get_submodule(name.partition(".")[0]), name.partition(".")[2]
        if child[:2] == "fc" and type(owner) not in (Mlp, GluMlp):
            raise Unsupported("needs an MLP of two linear layers")
        if type(getattr(owner, child, None)) is not nn.Linear:
            raise Unsupported(f"needs one linear layer as {name}")
