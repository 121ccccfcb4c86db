"""Full fine-tuning: every parameter learns. 85,798,656 without the head on ViT-B/16."""

from timm.models import VisionTransformer

from methods.base import Entangled, Method, Network


class Full(Method, name="full"):
    """The upper cost bound: nothing is extracted, every activation is kept."""

    def attach(self, vit: VisionTransformer) -> Network:
        """Unfreeze everything."""
        return Entangled(vit.requires_grad_(True))
