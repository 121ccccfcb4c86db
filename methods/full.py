"""Full fine-tuning: every parameter learns. 85,798,656 without the head on ViT-B/16."""

from timm.models import SwinTransformer, VisionTransformer

from methods.base import Entangled, Method, Network


class Full(Method, name="full"):
    """Full fine-tuning, the upper cost bound: 85,798,656 parameters without the head on ViT-B/16, nothing extracted."""

    backbones = (VisionTransformer, SwinTransformer)
    starts_as_backbone = True

    def attach(self, vit: VisionTransformer | SwinTransformer) -> Network:
        """Unfreeze everything."""
        return Entangled(vit.requires_grad_(True))
