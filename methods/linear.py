"""Linear probing trains a linear head on the pooled feature of the frozen backbone (docs/methods/linear.md)."""

from methods.backbones.chain import KINDS, Vit
from methods.base import Entangled, Method, Network


class Linear(Method, name="linear"):
    """Linear probing trains a linear head on the pooled feature of the frozen backbone: the lower bound of cost.

    Family: bounds
    Paper: Jia et al., ECCV 2022
    Entangled: no
    Parameters: 0 (the head has classes · 769)

    The paper is the one whose row tables print (VPT's "Linear").
    """

    backbones = KINDS
    starts_as_backbone = True

    def attach(self, vit: Vit) -> Network:
        """Nothing to add: the head is fresh and the rest is frozen."""
        return Entangled(vit)
