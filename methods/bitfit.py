"""BitFit trains the biases of all layers (Ben Zaken et al., ACL 2022; "Bias" of VPT; docs/methods/bitfit.md)."""

from timm.models import SwinTransformer, VisionTransformer
from torch import nn

from methods.base import Entangled, Method, Network


class BitFit(Method, name="bitfit"):
    """BitFit trains the biases of all layers and nothing else.

    Family: selective tuning
    Paper: Ben Zaken et al., ACL 2022
    Entangled: yes
    Parameters: 102,912

    The gradient of the key part of each qkv bias is zero up to rounding, since a softmax does not see it.
    """

    backbones = (VisionTransformer, SwinTransformer)
    starts_as_backbone = True

    def attach(self, vit: VisionTransformer | SwinTransformer) -> Network:
        """Unfreeze the `bias` of every layer."""
        for module in vit.modules():
            if isinstance(bias := getattr(module, "bias", None), nn.Parameter):
                bias.requires_grad_(True)
        return Entangled(vit)
