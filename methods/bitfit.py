"""BitFit: only the additive constants learn (Ben Zaken et al., 2022; "Bias" of VPT, "tinytl-bias")."""

from timm.models import SwinTransformer, VisionTransformer
from torch import nn

from methods.base import Entangled, Method, Network


class BitFit(Method, name="bitfit"):
    """Bias tuning: 102,912 parameters without the head on ViT-B/16 (8,448 a block, patch embedding and final norm 768).

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
