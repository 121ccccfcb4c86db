"""Full fine-tuning trains every parameter of the backbone (docs/methods/full.md)."""

from methods.backbones.chain import KINDS, Vit
from methods.base import Entangled, Method, Network


class Full(Method, name="full"):
    """Full fine-tuning trains every parameter of the backbone: the upper bound of cost.

    Family: bounds
    Paper: Jia et al., ECCV 2022
    Entangled: yes
    Parameters: 85,798,656

    The paper is the one whose row tables print (VPT's "Full").
    """

    backbones = KINDS
    starts_as_backbone = True

    def attach(self, vit: Vit) -> Network:
        """Unfreeze everything."""
        return Entangled(vit.requires_grad_(True))
