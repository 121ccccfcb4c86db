"""Linear probing: the backbone stays as it is, a new linear head learns on its pooled feature."""

from timm.models import SwinTransformer, VisionTransformer

from methods.base import Entangled, Method, Network


class Linear(Method, name="linear"):
    """Linear probing, the lower cost bound: the head alone, classes·(D + 1) parameters; the backbone is extracted."""

    backbones = (VisionTransformer, SwinTransformer)
    starts_as_backbone = True

    def attach(self, vit: VisionTransformer | SwinTransformer) -> Network:
        """Nothing to add: the head is fresh and the rest is frozen."""
        return Entangled(vit)
