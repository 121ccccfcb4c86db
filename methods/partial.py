"""Partial fine-tuning trains the top blocks and the final norm (Yosinski et al., 2014; "Partial-1" of VPT)."""

from methods.backbones.chain import PLAIN, Vit
from methods.base import Entangled, Method, Network
from methods.settings import Count


class Partial(Method, name="partial"):
    """Partial fine-tuning trains the top blocks and the final norm.

    Family: selective tuning
    Paper: Yosinski et al., NeurIPS 2014
    Entangled: in part
    Parameters: 7,089,408 (7,087,872 · blocks + 1,536)

    Deviation: VPT prints only the tuned share, 8.35 % with a 100-class head, which fits with and without the
    final norm to a hundredth of a per cent; the norm learns here, since a gradient passes it anyway.

    Settings:
        blocks: How many blocks are trained, from the top; the others are extracted.
    """

    backbones = PLAIN
    starts_as_backbone = True
    blocks: Count = 1

    def attach(self, vit: Vit) -> Network:
        """Unfreeze the last `blocks` blocks and the final norm."""
        if self.blocks > len(vit.blocks):
            raise ValueError(f"partial: blocks={self.blocks}, but the backbone has {len(vit.blocks)} blocks")
        for module in (*vit.blocks[-self.blocks :], vit.norm, vit.fc_norm):
            module.requires_grad_(True)
        return Entangled(vit)
