"""A network that learns beside the frozen backbone."""

from __future__ import annotations

from timm.models import VisionTransformer
from torch import nn

from methods.base import Network

__all__ = ["SideNetwork"]


class SideNetwork(Network):
    """Has the backbone as `vit`, whose classifier is the head; only the rest of the network has a training mode."""

    vit: VisionTransformer

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """The classifier."""
        return self.vit.get_classifier()

    def train(self, mode: bool = True) -> Network:
        """Set the mode of the side network alone; the backbone stays in evaluation mode."""
        super().train(mode)
        self.vit.eval()
        return self
