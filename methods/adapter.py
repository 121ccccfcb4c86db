"""Adapters put a bottleneck after the MLP of each block, inside the residual (docs/methods/adapter.md).

With m = droppath(MLP(LN2 x)) (B×N×D) and a bottleneck of `units`, Down D→units and Up units→D with biases:

    noah    x + m + Up(drop(g(Down m))), g(z) = z·sigmoid(1.702 z)     NOAH, source of the printed rows "Adapter"
    vpt     x + m + Up(GELU(Down m)), units = D // reduction           VPT paper, Pfeiffer's place

The source of `vpt` starts *both* matrices at exactly zero. GELU(0) = 0 and Up = 0 then keep the gradients of both and
of Down's bias at zero for ever: only Up's bias learns, 9,216 scalars on ViT-B/16. It is offered as published.
"""

from typing import Literal

from timm.layers import QuickGELU
from torch import Tensor, nn

from methods.backbones.chain import PLAIN, Vit
from methods.base import Entangled, Method, Network
from methods.parts.bypass import Bottleneck
from methods.parts.requirements import PRE_NORM, blocks_of
from methods.settings import Count, Fraction


class After(nn.Module):
    """Adds a bottleneck to m, which `first` makes of the MLP's output; m is kept for the gradient of Down."""

    def __init__(self, first: nn.Module, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.first = first
        self.bottleneck = bottleneck

    def forward(self, x: Tensor) -> Tensor:
        m = self.first(x)
        return m + self.bottleneck(m)


class Adapter(Method, name="adapter"):
    """Adapters put a bottleneck behind the MLP of each block.

    Family: adapters
    Paper: Houlsby et al., ICML 2019
    Entangled: yes
    Parameters: 156,768

    Settings:
        variant: `noah` is the module behind the printed rows "Adapter"; `vpt` is that of the VPT paper, which starts
            at exactly zero.
        units: Width of the bottleneck, with `variant=noah`.
        reduction: How many times narrower than the backbone the bottleneck is, with `variant=vpt`.
        dropout: Share of the bottleneck's activations that is dropped in training, with `variant=noah`.
        start: How `variant=noah` starts. `normal` is what NOAH's code does in effect (deviation 0.02, no bias),
            `xavier` what it sets out to do; neither starts as the backbone.
    """

    backbones = PLAIN
    variant: Literal["noah", "vpt"] = "noah"
    units: Count = 8
    reduction: Count = 8
    dropout: Fraction = 0.1
    start: Literal["normal", "xavier"] = "normal"

    def attach(self, vit: Vit) -> Network:
        """Put a bottleneck behind the stochastic depth of each MLP."""
        self._check_settings(vit)
        for block in blocks_of(vit, PRE_NORM):
            block.drop_path2 = After(block.drop_path2, self._bottleneck(vit.embed_dim))
        return Entangled(vit)

    def _bottleneck(self, width: int) -> Bottleneck:
        if self.variant == "vpt":
            bottleneck = Bottleneck(width, width // self.reduction, nn.GELU())
        else:
            bottleneck = Bottleneck(width, self.units, QuickGELU(), self.dropout)
        for layer in (bottleneck.down, bottleneck.up):
            self._initialise(layer)
        return bottleneck

    def _initialise(self, layer: nn.Linear) -> None:
        nn.init.zeros_(layer.bias)
        if self.variant == "vpt":
            nn.init.zeros_(layer.weight)
        elif self.start == "normal":
            nn.init.trunc_normal_(layer.weight, std=0.02)
        else:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.normal_(layer.bias, std=1e-6)

    def _check_settings(self, vit: Vit) -> None:
        foreign = ("units", "dropout", "start") if self.variant == "vpt" else ("reduction",)
        for name in foreign:
            if getattr(self, name) != getattr(type(self), name):
                raise ValueError(f"adapter: {name}={getattr(self, name)} does nothing with variant={self.variant}")
        if self.variant == "vpt" and self.reduction > vit.embed_dim:
            raise ValueError(f"adapter: reduction={self.reduction}, but the backbone is {vit.embed_dim} wide")
