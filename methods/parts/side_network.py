"""Provides the base class of networks that learn beside the frozen backbone."""

from __future__ import annotations

from timm.models import VisionTransformer
from torch import nn

from methods.base import Network

__all__ = ["SideNetwork"]


class SideNetwork(Network):
    """A network whose `vit` is a frozen backbone, always in evaluation mode, with the trainable classifier as head."""

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
