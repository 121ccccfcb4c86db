"""Linear probing: the backbone stays as it is, a new linear head learns on its pooled feature."""

from timm.models import VisionTransformer

from methods.base import Entangled, Method, Network


class Linear(Method, name="linear"):
    """Head only: classes·(D + 1) parameters, none without the head. `extract` runs the whole backbone."""

    def attach(self, vit: VisionTransformer) -> Network:
        """Nothing to add: the head is fresh and the rest is frozen."""
        return Entangled(vit)
