"""What training lowers, in the training loop and in its plan alike."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from methods import Network

__all__ = ["loss_of"]


def loss_of(network: Network, logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits in float32 with labels or shares of classes, and the network's penalty if any."""
    loss = functional.cross_entropy(logits, labels)
    penalty = network.penalty()
    return loss if penalty is None else loss + penalty
