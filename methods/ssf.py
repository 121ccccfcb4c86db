"""SSF learns a scale and a shift for every channel after every frozen layer (Lian et al., NeurIPS 2022).

    y = scale · layer(x) + shift      scale ~ N(1, 0.02), shift ~ N(0, 0.02), per output channel

after the patch projection (D), in each block after LN1 (D), the projection to queries, keys and values (3D), the
attention's output (D), LN2 (D), fc1 (4D, before GELU) and fc2 (D), and after the final norm (D). It merges into the
layers: `merge`. Norms and the patch projection run with merged weights in training too, so that they keep nothing; of
linear layers the output before the scale is kept, and the one after it made again. See docs/methods/ssf.md.
"""

from __future__ import annotations

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.backbones.chain import final_norm
from methods.base import Entangled, Method, Network, Unsupported
from methods.parts.recompute import Recomputing
from methods.parts.requirements import blocks_of, check_layers

IN_BLOCK = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


class Affine(nn.Module):
    """Computes `scale · x + shift` on the last axis."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(channels).normal_(1, 0.02))
        self.shift = nn.Parameter(torch.empty(channels).normal_(0, 0.02))

    def forward(self, x: Tensor) -> Tensor:
        return torch.mul(x, self.scale).add_(self.shift)  # in place: nothing keeps the product


class Scaled(nn.Module):
    """Scales and shifts the output of a frozen layer."""

    keeps_output = True  # for the gradient of the scale; what comes after it is made again, and costs nothing

    def __init__(self, frozen: nn.Linear | nn.LayerNorm | nn.Conv2d) -> None:
        super().__init__()
        self.frozen = frozen
        self.affine = Affine(len(frozen.weight))
        self.keeps_precision = isinstance(frozen, nn.Conv2d)  # whose weight is scaled before it is used

    def forward(self, x: Tensor) -> Tensor:
        frozen = self.frozen
        if isinstance(frozen, nn.LayerNorm):
            return functional.layer_norm(x, frozen.normalized_shape, *self.weights(), frozen.eps)
        if isinstance(frozen, nn.Conv2d):
            return frozen._conv_forward(x, *self.weights())
        return self.affine(frozen(x))

    def weights(self) -> tuple[Tensor, Tensor]:
        """Return weight and bias of one layer with the same output."""
        scale, shift, weight, bias = self.affine.scale, self.affine.shift, self.frozen.weight, self.frozen.bias
        return weight * scale.view(-1, *[1] * (weight.ndim - 1)), shift if bias is None else bias * scale + shift

    def merged(self) -> nn.Module:
        """Return one layer with the same output."""
        weight, bias = self.weights()
        self.frozen.weight = nn.Parameter(weight, requires_grad=False)
        self.frozen.bias = nn.Parameter(bias.clone(), requires_grad=False)  # which may be the shift itself
        return self.frozen


class Ssf(Method, name="ssf"):
    """SSF scales and shifts the output of every layer; it merges into the backbone.

    Family: selective tuning
    Paper: Lian et al., NeurIPS 2022
    Entangled: yes
    Parameters: 205,824
    """

    def attach(self, vit: VisionTransformer) -> Network:
        """Follow every frozen layer with its scale and shift."""
        for i, block in enumerate(blocks_of(vit)):
            check_layers(block)
            for name in IN_BLOCK:
                _scale(block, name)
            vit.blocks[i] = Recomputing(block, "attn.qkv.affine", "mlp.fc1.affine")
        _scale(vit.patch_embed, "proj")
        _scale(vit, "norm" if final_norm(vit) is vit.norm else "fc_norm")
        return Entangled(vit)


def _scale(owner: nn.Module, name: str) -> None:
    owner, name = owner.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2]
    layer = getattr(owner, name)
    if not isinstance(layer, nn.Linear | nn.LayerNorm | nn.Conv2d) or layer.weight is None:
        raise Unsupported(f"needs a linear layer, layer norm or convolution with weights as {name}")
    setattr(owner, name, Scaled(layer))
