"""AdaptFormer puts a bottleneck beside the MLP of each block (Chen et al., NeurIPS 2022; docs/methods/adaptformer.md).

With y = x + droppath(Attn(LN1 x)) (B×N×D), which the bypass reads without a norm:

    out = y + droppath(MLP(LN2 y)) + scale · Up(drop(ReLU(Down y)))

Down (D→units) is Kaiming-uniform with a = √5, Up and both biases start at zero, so the network starts as the backbone.
The bypass reads what LN2 keeps anyway: of its own it keeps codes of `units` alone.
"""

import math

from timm.models import VisionTransformer
from torch import nn

from methods.base import Entangled, Method, Network
from methods.parts.bypass import Beside, Bottleneck
from methods.parts.requirements import blocks_of
from methods.settings import Count, Fraction, Number


class AdaptFormer(Method, name="adaptformer"):
    """AdaptFormer puts a scaled bottleneck beside the MLP of each block.

    Family: adapters
    Paper: Chen et al., NeurIPS 2022
    Entangled: yes
    Parameters: 156,768 (1,189,632 at 64 units, as in the original)

    Settings:
        units: Width of the bottleneck; tables of VTAB-1k print the row of 8.
        scale: Factor of the bottleneck's output.
        dropout: Share of the bottleneck's activations that is dropped in training.
        bias: Whether the two layers have biases; PETL-ViT's form has none.
    """

    starts_as_backbone = True
    units: Count = 8
    scale: Number = 0.1
    dropout: Fraction = 0.1
    bias: bool = True

    def attach(self, vit: VisionTransformer) -> Network:
        """Put a bypass beside each MLP, the norm before it and the stochastic depth after it."""
        for block in blocks_of(vit):
            main = nn.Sequential(block.norm2, block.mlp, block.ls2, block.drop_path2)
            block.norm2, block.ls2, block.drop_path2 = nn.Identity(), nn.Identity(), nn.Identity()
            block.mlp = Beside(main, self._bottleneck(vit.embed_dim), self.scale)
        return Entangled(vit)

    def _bottleneck(self, width: int) -> Bottleneck:
        bottleneck = Bottleneck(width, self.units, nn.ReLU(), self.dropout, self.bias)
        nn.init.kaiming_uniform_(bottleneck.down.weight, a=math.sqrt(5))
        nn.init.zeros_(bottleneck.up.weight)
        if self.bias:
            nn.init.zeros_(bottleneck.down.bias)
            nn.init.zeros_(bottleneck.up.bias)
        return bottleneck
